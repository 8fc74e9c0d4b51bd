// The daemon behind its socket as a `GenerationService`, for commands.
// One connection for each request.
// Nothing that serves may enter.
