// A norm of rows: its weights, and which of two kinds it is. Definitions are in
// CKernels/include/ckernels.h.

internal import CKernels

/// A root-mean-square norm (arXiv 1910.07467), or with a bias a layer norm (arXiv 1607.06450).
package struct Norm: Sendable, Equatable {
    package let weights: [Float]
    /// As many as weights.
    package let bias: [Float]?
    /// Added to the mean square, or to the variance.
    package let epsilon: Float

    /// - Precondition: there are as many biases as weights.
    package init(weights: [Float], bias: [Float]? = nil, epsilon: Float) {
        precondition(bias.map { $0.count == weights.count } ?? true)
        self.weights = weights
        self.bias = bias
        self.epsilon = epsilon
    }

    /// Elements of a row.
    package var width: Int { weights.count }

    /// `x += added` unless that is nil, then the norm of `x` into `y`, which may be `x`.
    func run(
        _ table: UnsafePointer<ckernels_table>, _ x: UnsafeMutablePointer<Float>,
        adding added: UnsafePointer<Float>?, rows: Int, into y: UnsafeMutablePointer<Float>
    ) {
        if let bias {
            unsafe table.pointee.layer_norm(
                x, added, rows, width, weights.span.start, bias.span.start, epsilon, y)
        } else {
            unsafe table.pointee.normalize(
                x, added, rows, width, weights.span.start, epsilon, y)
        }
    }
}
