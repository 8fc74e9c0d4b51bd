// Norms, rotary embedding, activations and sums: everything between the products. Each runs on the
// calling thread; definitions are in CKernels/include/ckernels.h.

internal import CKernels
package import ModelFormat

extension Kernels {
    /// The norm of each row.
    ///
    /// - Parameters:
    ///   - x: `[rows][norm.width]`; `y` alike.
    package func normalize(
        _ x: Span<Float>, rows: Int, by norm: Norm, into y: inout MutableSpan<Float>
    ) {
        let count = rows * norm.width
        guard count > 0 else { return }
        precondition(x.count >= count && y.count >= count)
        unsafe norm.run(
            table, UnsafeMutablePointer(mutating: x.start), adding: nil, rows: rows, into: y.start)
    }

    /// ``normalize(_:rows:by:into:)`` in place.
    package func normalizeInPlace(_ x: inout MutableSpan<Float>, rows: Int, by norm: Norm) {
        guard rows > 0, norm.width > 0 else { return }
        precondition(x.count >= rows * norm.width)
        unsafe norm.run(table, x.start, adding: nil, rows: rows, into: x.start)
    }

    /// Rotary position embedding (arXiv 2104.09864) of the first `rotatedWidth` elements of each
    /// head, in place.
    ///
    /// - Parameters:
    ///   - x: `[tokens][heads][headWidth]`.
    ///   - cosines: `[tokens][rotatedWidth / 2]`; `sines` alike.
    package func rotate(
        _ x: inout MutableSpan<Float>, tokens: Int, heads: Int, headWidth: Int, rotatedWidth: Int,
        cosines: Span<Float>, sines: Span<Float>, pairing: RotaryPairing
    ) {
        guard tokens > 0, heads > 0, rotatedWidth > 0 else { return }
        precondition(rotatedWidth % 2 == 0 && rotatedWidth <= headWidth)
        precondition(x.count >= tokens * heads * headWidth)
        precondition(min(cosines.count, sines.count) >= tokens * (rotatedWidth / 2))
        unsafe cosines.withUnsafeBufferPointer { cosines in
            unsafe sines.withUnsafeBufferPointer { sines in
                unsafe x.withUnsafeMutableBufferPointer { x in
                    unsafe table.pointee.rotate(
                        x.baseAddress!, tokens, heads, headWidth, rotatedWidth,
                        cosines.baseAddress!, sines.baseAddress!, pairing == .halves ? 1 : 0)
                }
            }
        }
    }

    /// Stores `x` as IEEE 754 halves from `byteOffset` on, rounding to nearest even; what is too
    /// large becomes infinite.
    package func storeHalf(
        _ x: Span<Float>, into bytes: inout MutableRawSpan, at byteOffset: Int
    ) {
        guard !x.isEmpty else { return }
        precondition(byteOffset >= 0 && byteOffset + 2 * x.count <= bytes.byteCount)
        unsafe x.withUnsafeBufferPointer { x in
            unsafe bytes.withUnsafeMutableBytes { bytes in
                unsafe table.pointee.store_half(
                    x.baseAddress!, x.count,
                    (bytes.baseAddress! + byteOffset).assumingMemoryBound(to: UInt8.self))
            }
        }
    }

    /// A gated network's middle: `y[i] = act(gate[i]) * up[i]` for `i < count`.
    package func activate(
        _ activation: Activation, gate: Span<Float>, up: Span<Float>,
        into y: inout MutableSpan<Float>, count: Int
    ) {
        guard count > 0 else { return }
        precondition(min(gate.count, up.count, y.count) >= count)
        unsafe gate.withUnsafeBufferPointer { gate in
            unsafe up.withUnsafeBufferPointer { up in
                unsafe y.withUnsafeMutableBufferPointer { y in
                    unsafe table.pointee.activate(
                        activation.kernelNumber, gate.baseAddress!, up.baseAddress!,
                        y.baseAddress!, count)
                }
            }
        }
    }

    /// An ungated network's middle: `x[i] = act(x[i])` for `i < count`.
    package func activate(
        _ activation: Activation, _ x: inout MutableSpan<Float>, count: Int
    ) {
        guard count > 0 else { return }
        precondition(x.count >= count && activation.isOneOperand)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe table.pointee.activate(
                activation.kernelNumber, x.baseAddress!, nil, x.baseAddress!, count)
        }
    }

    /// `y[i] = fma(scale, x[i], y[i])` for `i < count`.
    package func add(
        _ x: Span<Float>, scale: Float, to y: inout MutableSpan<Float>, count: Int
    ) {
        guard count > 0 else { return }
        precondition(min(x.count, y.count) >= count)
        unsafe x.withUnsafeBufferPointer { x in
            unsafe y.withUnsafeMutableBufferPointer { y in
                unsafe table.pointee.add(x.baseAddress!, scale, y.baseAddress!, count)
            }
        }
    }

    /// Adds `bias` to each of the `rows` rows of `y`, which are `bias.count` wide.
    package func add(bias: Span<Float>, toRowsOf y: inout MutableSpan<Float>, rows: Int) {
        guard rows > 0, !bias.isEmpty else { return }
        precondition(y.count >= rows * bias.count)
        unsafe bias.withUnsafeBufferPointer { bias in
            unsafe y.withUnsafeMutableBufferPointer { y in
                unsafe table.pointee.add_bias(bias.baseAddress!, y.baseAddress!, rows, bias.count)
            }
        }
    }

    /// Probabilities from logits, in place; the largest is subtracted first, so nothing overflows.
    /// A NaN or +infinity anywhere, or nothing but -infinity, makes every element NaN.
    package func softmax(_ x: inout MutableSpan<Float>, count: Int) {
        guard count > 0 else { return }
        precondition(x.count >= count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe table.pointee.softmax(x.baseAddress!, count)
        }
    }

    /// `x[i] = sqrt(log(1 + exp(x[i])))` for `i < count`.
    package func rootOfSoftplus(_ x: inout MutableSpan<Float>, count: Int) {
        precondition(x.count >= count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            if let start = x.baseAddress { unsafe ckernels_root_softplus(start, count) }
        }
    }

    /// `x[i] = 1 / (1 + exp(-x[i]))` for `i < count`.
    package func sigmoid(_ x: inout MutableSpan<Float>, count: Int) {
        guard count > 0 else { return }
        precondition(x.count >= count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe table.pointee.sigmoid(x.baseAddress!, count)
        }
    }

    /// `x[i] = ln(1 + exp(x[i]))` for `i < count`.
    package func softplus(_ x: inout MutableSpan<Float>, count: Int) {
        guard count > 0 else { return }
        precondition(x.count >= count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe ckernels_softplus(x.baseAddress!, count)
        }
    }

    /// Multiplies each of the rows of `y`, `width` wide, by its factor.
    package func multiply(
        rowsOf y: inout MutableSpan<Float>, width: Int, by factors: Span<Float>, rows: Int
    ) {
        guard rows > 0 else { return }
        precondition(width > 0 && factors.count >= rows && y.count >= rows * width)
        unsafe y.withUnsafeMutableBufferPointer { y in
            unsafe factors.withUnsafeBufferPointer { factors in
                unsafe ckernels_multiply_rows(
                    factors.baseAddress!, rows, width, y.baseAddress!)
            }
        }
    }

    /// `x[i] = cap * tanh(x[i] / cap)`.
    package func softCap(_ x: inout MutableSpan<Float>, _ cap: Float) {
        precondition(cap > 0)
        unsafe x.withUnsafeMutableBufferPointer { x in
            if let start = x.baseAddress { unsafe table.pointee.soft_cap(start, x.count, cap) }
        }
    }
}

extension Activation {
    /// Whether it is a function of the gate alone.
    var isOneOperand: Bool { Self.ofAnyNetwork.contains(self) }

    /// The nonlinearity's number in the C kernels.
    var kernelNumber: Int32 {
        let number =
            switch self {
            case .silu: CKERNELS_SILU
            case .gelu: CKERNELS_GELU
            case .relu: CKERNELS_RELU
            case .relu2: CKERNELS_RELU2
            case .swigluOAI: CKERNELS_SWIGLU_OAI
            }
        return Int32(number)
    }
}
