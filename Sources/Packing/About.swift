// GGUF to packed file: layout, checksums, the import job.
// What is imported loads; what would not load is refused here, by name.
// Nothing that runs a model may enter.
