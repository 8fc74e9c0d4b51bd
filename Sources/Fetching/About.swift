// Models out of the network: addresses, and downloads as streams that packing reads. curl(1) speaks
// the protocols; this decides what to ask for, again where need be, and what to believe.
// Nothing that knows what a model is may enter.
