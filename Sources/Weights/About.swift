// A model's weights in memory: what stays, what streams, what is cached.
// Dense, Experts and Neurons each keep their own books; WeightStore is their face.
// Nothing that computes on weights may enter.
