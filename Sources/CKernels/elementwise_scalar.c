// Operations on single elements for any machine.

#define TARGET
#define SET scalar
#include "elementwise.h"

float ckernels_exp(float x) { return exponential(x); }
