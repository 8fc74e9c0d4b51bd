// The ledger: what memory is for, term by term, before any is taken, and what clients have of it.
// No reservation, no memory. Terms are named as `sluice show` prints them.
// Nothing that takes memory, and nothing of a model, may enter.
