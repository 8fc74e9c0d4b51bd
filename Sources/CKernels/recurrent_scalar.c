// recurrent.h for any machine.

#define TARGET
#define SET scalar
#include "recurrent.h"
