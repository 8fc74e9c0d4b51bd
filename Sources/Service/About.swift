// The daemon: socket, signals, systemd, log, metrics, from start to drain.
// Puts a library, an engine and the HTTP interface together.
// No request is parsed and nothing is computed here.
