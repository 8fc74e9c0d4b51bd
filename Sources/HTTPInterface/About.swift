// The HTTP server: connections, requests, routes, answers, streams.
// Reads one request at a time within a ledger of bytes.
// Nothing of models but `GenerationAPI` may enter.
