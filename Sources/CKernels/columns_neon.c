// columns.h for NEON.

#if defined(__aarch64__)
#define TARGET
#define SET neon
#include "columns.h"
#endif
