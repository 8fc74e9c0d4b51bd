// OpenBLAS's C interface. The include path comes from pkg-config.
#include <cblas.h>
