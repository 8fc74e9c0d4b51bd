// The safe face of the C kernels: one table chosen at start, spans in, spans out.
// Checks every shape; all instruction sets return the same bits.
// Nothing that knows of layers, files or caches may enter.
