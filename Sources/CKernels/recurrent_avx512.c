// recurrent.h for AVX-512.

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define SET avx512
#include "recurrent.h"
#endif
