// What layers with a state compute besides products: a short convolution, and the gated delta rule.
// Channels and heads are independent, and split over the team. Definitions are in
// CKernels/include/ckernels.h.

internal import CKernels
package import LinuxSystem

/// Inputs of a short convolution: rows of a token, one after the other.
package struct ConvolutionInputs: ~Escapable {
    let x: Span<Float>
    let before: Span<Float>?
    let after: Span<Float>?
    let tokens: Int

    /// - Parameters:
    ///   - x: `[tokens][channels]`.
    ///   - before: factors on `x`, alike; nil is 1.
    ///   - after: factors on the sums, alike; nil is 1.
    @_lifetime(copy x, copy before, copy after)
    package init(x: Span<Float>, before: Span<Float>?, after: Span<Float>?, tokens: Int) {
        self.x = x
        self.before = before
        self.after = after
        self.tokens = tokens
    }
}

/// A causal convolution of each channel over the last few positions.
package struct ShortConvolution: Sendable {
    /// `[length][channels]`, the oldest position's first.
    let weights: [Float]
    package let length: Int
    package let channels: Int
    /// Whether a SiLU is of the sums.
    let activates: Bool

    package static let lengths = 2...Int(CKERNELS_CONVOLUTION_MAX)

    /// - Parameter weights: `[channels][length]`, as GGUF files have them.
    package init(weights: [Float], length: Int, activates: Bool) {
        precondition(Self.lengths.contains(length) && weights.count % length == 0)
        let channels = weights.count / length
        self.weights = (0..<length).flatMap { position in
            (0..<channels).map { weights[$0 * length + position] }
        }
        self.length = length
        self.channels = channels
        self.activates = activates
    }

    /// Bytes of what it keeps of the positions before.
    package var stateBytes: Int { (length - 1) * channels * MemoryLayout<Float>.stride }
}

/// Sizes of a gated delta rule: queries and keys of heads, which several heads of values share.
package struct DeltaRuleShape: Sendable {
    package let keyHeadCount: Int
    package let valueHeadCount: Int
    /// Of a head of either kind.
    package let width: Int
    /// Whether value head v has key head v modulo their number, and not those of its group.
    package let alternates: Bool

    package init(keyHeadCount: Int, valueHeadCount: Int, width: Int, alternates: Bool) {
        precondition(keyHeadCount > 0 && width > 0 && valueHeadCount % keyHeadCount == 0)
        self.keyHeadCount = keyHeadCount
        self.valueHeadCount = valueHeadCount
        self.width = width
        self.alternates = alternates
    }

    /// Numbers of a token: queries, keys, values.
    package var inputCount: Int { (2 * keyHeadCount + valueHeadCount) * width }
    package var keyCount: Int { keyHeadCount * width }
    package var valueCount: Int { valueHeadCount * width }
    /// Bytes of all heads' states.
    package var stateBytes: Int { valueCount * width * MemoryLayout<Float>.stride }

    func keyHead(of head: Int) -> Int {
        alternates ? head % keyHeadCount : head / (valueHeadCount / keyHeadCount)
    }
}

extension Kernels {
    /// A short convolution of a sequence's tokens into `y`, `[tokens][channels]`.
    ///
    /// - Parameter state: `convolution.stateBytes` of floats, of the positions before; then of
    ///   those before what follows.
    package func convolve(
        _ inputs: borrowing ConvolutionInputs, by convolution: ShortConvolution,
        state: inout MutableRawSpan, into y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        let (tokens, channels) = (inputs.tokens, convolution.channels)
        let count = tokens * channels
        guard count > 0 else { return }
        precondition(min(inputs.x.count, y.count) >= count)
        precondition(state.byteCount >= convolution.stateBytes)
        var (before, after): (UnsafePointer<Float>?, UnsafePointer<Float>?) = (nil, nil)
        if let factors = inputs.before {
            precondition(factors.count >= count)
            unsafe before = factors.start
        }
        if let factors = inputs.after {
            precondition(factors.count >= count)
            unsafe after = factors.start
        }
        let record = unsafe ckernels_convolution(
            x: inputs.x.start, before: before, after: after, y: y.start,
            weights: convolution.weights.span.start, state: state.floats, tokens: tokens,
            channels: channels, length: convolution.length,
            activates: convolution.activates ? 1 : 0)
        let job = unsafe ConvolutionJob(table: table, record: record)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ConvolutionJob.self).pointee.run(piece: piece)
        }
    }

    /// The gated delta rule (arXiv 2412.06464) of a sequence's tokens into `y`,
    /// `[tokens][heads][width]`.
    ///
    /// - Parameters:
    ///   - inputs: `[tokens][shape.inputCount]`: a token's queries, keys and values.
    ///   - decays: `[tokens][heads of values]`: what is left of a state; `steps` alike.
    ///   - state: `shape.stateBytes` of floats: of each head of values, a row for each number of a
    ///     key.
    package func applyDeltaRule(
        _ shape: DeltaRuleShape, inputs: Span<Float>, decays: Span<Float>, steps: Span<Float>,
        state: inout MutableRawSpan, tokens: Int, into y: inout MutableSpan<Float>,
        team: ComputeTeam
    ) {
        guard tokens > 0 else { return }
        precondition(inputs.count >= tokens * shape.inputCount)
        precondition(y.count >= tokens * shape.valueCount)
        precondition(min(decays.count, steps.count) >= tokens * shape.valueHeadCount)
        precondition(state.byteCount >= shape.stateBytes)
        let record = unsafe ckernels_delta_rule(
            query: inputs.start, key: inputs.start + shape.keyCount,
            value: inputs.start + 2 * shape.keyCount, stride: shape.inputCount,
            decay: decays.start, step: steps.start, gate_stride: shape.valueHeadCount,
            state: state.floats, y: y.start, y_stride: shape.valueCount, tokens: tokens,
            key_width: shape.width, value_width: shape.width)
        let job = unsafe DeltaRuleJob(table: table, shape: shape, record: record)
        unsafe team.run(pieces: shape.valueHeadCount, job: job) { job, head in
            unsafe job.assumingMemoryBound(to: DeltaRuleJob.self).pointee.run(head: head)
        }
    }

    /// What a delta rule forgets: `x[t][h] = exp(factors[h] · ln(1 + exp(x[t][h] + bias[h])))`.
    package func decays(
        _ x: inout MutableSpan<Float>, bias: Span<Float>, factors: Span<Float>, tokens: Int
    ) {
        guard tokens > 0, !bias.isEmpty else { return }
        precondition(factors.count == bias.count && x.count >= tokens * bias.count)
        unsafe ckernels_decays(bias.start, factors.start, tokens, bias.count, x.start)
    }
}

extension MutableRawSpan {
    /// - Precondition: the span is not empty, and its memory is aligned.
    @unsafe
    fileprivate var floats: UnsafeMutablePointer<Float> {
        mutating get {
            unsafe UnsafeMutableRawPointer(start).assumingMemoryBound(to: Float.self)
        }
    }
}

/// Channels of a convolution. The pointers live as long as the call that made it, in these jobs.
@safe
private struct ConvolutionJob: @unchecked Sendable {
    /// Sums of a piece: enough that sharing it is worth it.
    private static let sumsPerPiece = 8_192
    /// Channels of the narrowest piece.
    private static let strip = 32

    let table: UnsafePointer<ckernels_table>
    let record: ckernels_convolution

    private var channelsPerPiece: Int {
        let wanted = unsafe Self.sumsPerPiece / record.tokens
        return max(Self.strip, wanted / Self.strip * Self.strip)
    }

    var pieceCount: Int {
        unsafe (record.channels + channelsPerPiece - 1) / channelsPerPiece
    }

    func run(piece: Int) {
        let first = piece * channelsPerPiece
        var record = unsafe record
        unsafe table.pointee.convolve(
            &record, first, min(first + channelsPerPiece, record.channels))
    }
}

/// Heads of a delta rule; `record` is of the first.
@safe
private struct DeltaRuleJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let shape: DeltaRuleShape
    let record: ckernels_delta_rule

    func run(head: Int) {
        let width = shape.width
        var rule = unsafe record
        unsafe rule.query += shape.keyHead(of: head) * width
        unsafe rule.key += shape.keyHead(of: head) * width
        unsafe rule.value += head * width
        unsafe rule.decay += head
        unsafe rule.step += head
        unsafe rule.state += head * width * width
        unsafe rule.y += head * width
        unsafe table.pointee.delta_rule(&rule, 0, width)
    }
}
