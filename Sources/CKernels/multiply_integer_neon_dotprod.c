// multiply_integer.h for NEON with the dot product instructions of ARMv8.2.

#if defined(__aarch64__)
#include <arm_neon.h>

#define TARGET __attribute__((target("dotprod")))
#define SET neon_dotprod
#define TILES_AT_ONCE 1
#define TOKENS_AT_ONCE 4
#define SIGNED_BIAS 0
#include "lanes.h"
#include "look_up_neon.h"
#include "dot_words_neon.h"
#include "multiply_integer.h"
#include "score.h"
#endif
