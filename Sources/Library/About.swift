// Models on disk by name, and where Sluice keeps things.
// Names are checked; a model and what is beside it come and go together.
// Nothing that opens a model may enter.
