// A model's weights in memory: what stays, what streams, what is cached.
// Dense, Experts and Neurons each keep their own books; what they hand out is leased.
// Nothing that computes on weights may enter.
