// recurrent.h for AVX2, FMA and F16C.

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define SET avx2
#include "recurrent.h"
#endif
