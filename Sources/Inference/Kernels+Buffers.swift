// The kernels on ranges of the step's buffers: one place where buffers become spans.

internal import Kernels
internal import LinuxSystem
internal import ModelFormat

extension Kernels {
    /// RMS norm of `rows` rows from `source` on, written from `target` on.
    func normalize(
        _ x: borrowing Buffer<Float>, from source: Int, rows: Int, weights: [Float], epsilon: Float,
        into y: inout Buffer<Float>, at target: Int
    ) {
        let count = rows * weights.count
        var result = y.mutableSpan(in: target..<target + count)
        normalize(
            x.span.extracting(source..<source + count), rows: rows, columns: weights.count,
            weights: weights.span, epsilon: epsilon, into: &result)
    }

    /// RMS norm of every run of `weights.count` elements, in place.
    func normalize(
        _ x: inout Buffer<Float>, elements: Int, weights: [Float], epsilon: Float
    ) {
        var values = x.mutableSpan
        normalizeInPlace(
            &values, rows: elements / weights.count, columns: weights.count, weights: weights.span,
            epsilon: epsilon)
    }

    func rotate(
        _ x: inout Buffer<Float>, tokens: Int, heads: Int, headWidth: Int, rotatedWidth: Int,
        cosines: borrowing Buffer<Float>, sines: borrowing Buffer<Float>, pairing: RotaryPairing
    ) {
        var values = x.mutableSpan
        rotate(
            &values, tokens: tokens, heads: heads, headWidth: headWidth, rotatedWidth: rotatedWidth,
            cosines: cosines.span, sines: sines.span, pairing: pairing)
    }

    /// `y[target...] += scale · x[source...]` for `count` elements.
    func add(
        _ x: borrowing Buffer<Float>, from source: Int, scale: Float, to y: inout Buffer<Float>,
        at target: Int, count: Int
    ) {
        var result = y.mutableSpan(in: target..<target + count)
        add(x.span.extracting(source..<source + count), scale: scale, to: &result, count: count)
    }

    func activate(
        _ activation: Activation, gate: borrowing Buffer<Float>, up: borrowing Buffer<Float>,
        into y: inout Buffer<Float>, count: Int
    ) {
        var result = y.mutableSpan
        activate(activation, gate: gate.span, up: up.span, into: &result, count: count)
    }

    /// Copies rows of `width` elements: row `i` of `x` to row `rows[i]` of `y`.
    func scatter(
        _ x: borrowing Buffer<Float>, to rows: [Int], of y: inout Buffer<Float>, width: Int
    ) {
        let source = x.span
        var target = y.mutableSpan
        for (index, row) in rows.enumerated() {
            for column in 0..<width {
                target[row * width + column] = source[index * width + column]
            }
        }
    }
}
