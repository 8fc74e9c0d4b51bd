// multiply_float_lanes.h for NEON as every aarch64 processor has it.

#if defined(__aarch64__)
#define TARGET
#define SET neon
#define SUMS_MAX 6
#include "multiply_float_lanes.h"
#endif
