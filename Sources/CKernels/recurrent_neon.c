// recurrent.h for NEON as every aarch64 processor has it.

#if defined(__aarch64__)
#define TARGET
#define SET neon
#include "recurrent.h"
#endif
