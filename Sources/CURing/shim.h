// liburing. <sys/types.h> must come first: liburing.h sets _GNU_SOURCE, which would give fd_set
// another shape than Swift's Glibc module has.
#include <sys/types.h>
#include <liburing.h>
