// Which neurons will fire: samples, closed-form predictors, neuron order.
// Only `sluice calibrate` uses it; OpenBLAS is opened when it begins.
// Nothing that decoding needs may enter.
