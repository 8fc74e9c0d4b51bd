// The one door to the engine: orders in, events out, models by name, sampling and its ranges.
// All that the HTTP interface and the client know of generating.
// No tensor, no open file and no thread may enter.
