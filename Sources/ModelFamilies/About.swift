// Model families: GGUF keys to a shape, tensor names to roles. One file for each family.
// Only import knows of them; the packed manifest carries the shape whole.
// Nothing that computes, and no weights, may enter.
