// The daemon as a program: options, then `Service`.
// Ends with the statuses of sysexits.h.
// Nothing else may enter.
