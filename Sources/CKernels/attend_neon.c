// attend_lanes.h for NEON as every aarch64 processor has it.

#if defined(__aarch64__)
#define TARGET
#define SET neon
#define TILE_LANES 4
#include "attend_lanes.h"
#endif
