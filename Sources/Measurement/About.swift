// Benchmarks, ladders, evaluations, routing traces: what a model costs and how good it is.
// Measures the same code that serves.
// Nothing that serving needs may enter.
