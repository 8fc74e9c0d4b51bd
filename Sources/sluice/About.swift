// The command-line client: one file a command; parse, call, print.
// Talks to the daemon, or runs a model by itself with `--local`.
// Nothing that another program could want may enter.
