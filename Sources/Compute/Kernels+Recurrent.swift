// What layers with a state compute besides products: a short convolution, and the rule of a state.
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
    /// Added to the sums, before the SiLU; nil is none.
    let bias: [Float]?
    package let length: Int
    package let channels: Int
    /// Whether a SiLU is of the sums.
    let activates: Bool

    package static let lengths = 2...Int(CKERNELS_CONVOLUTION_MAX)

    /// - Parameter weights: `[channels][length]`, as GGUF files have them.
    package init(weights: [Float], bias: [Float]? = nil, length: Int, activates: Bool) {
        precondition(Self.lengths.contains(length) && weights.count % length == 0)
        let channels = weights.count / length
        precondition(bias.map { $0.count == channels } ?? true)
        self.bias = bias
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

/// How a state changes with each token, and its sizes: queries and keys of heads, which several
/// heads of values share.
package struct StateRule: Sendable {
    package enum Kind: Sendable, Equatable {
        /// A key's value is corrected (Gated DeltaNet, arXiv 2412.06464). A token has queries,
        /// keys, values.
        case delta
        /// A value is added by its key (Mamba 2, arXiv 2405.21060); of each head, its factor on
        /// values that go past the state. A token has values, keys, queries.
        case adding(skips: [Float])
    }

    package let kind: Kind
    package let keyHeadCount: Int
    package let valueHeadCount: Int
    /// Of a head of queries or keys.
    package let keyWidth: Int
    package let valueWidth: Int
    /// Whether value head v has key head v modulo their number, and not those of its group.
    package let alternates: Bool
    /// Whether what is left of a state is told for each number of a key (Kimi's delta rule).
    package let decaysApart: Bool

    package init(
        _ kind: Kind, keyHeadCount: Int, valueHeadCount: Int, keyWidth: Int, valueWidth: Int,
        alternates: Bool = false, decaysApart: Bool = false
    ) {
        precondition(!decaysApart || kind == .delta)
        self.decaysApart = decaysApart
        precondition(keyHeadCount > 0 && keyWidth > 0 && valueWidth > 0)
        precondition(valueHeadCount % keyHeadCount == 0)
        if case .adding(let skips) = kind { precondition(skips.count == valueHeadCount) }
        self.kind = kind
        self.keyHeadCount = keyHeadCount
        self.valueHeadCount = valueHeadCount
        self.keyWidth = keyWidth
        self.valueWidth = valueWidth
        self.alternates = alternates
    }

    /// Numbers of a token: queries, keys, values.
    package var inputCount: Int { 2 * keyCount + valueCount }
    /// Of a token.
    package var decayCount: Int { valueHeadCount * decaysPerHead }
    fileprivate var decaysPerHead: Int { decaysApart ? keyWidth : 1 }
    package var keyCount: Int { keyHeadCount * keyWidth }
    package var valueCount: Int { valueHeadCount * valueWidth }
    /// Bytes of all heads' states.
    package var stateBytes: Int { valueCount * keyWidth * MemoryLayout<Float>.stride }

    /// Where a token's queries, keys and values begin.
    fileprivate var starts: (query: Int, key: Int, value: Int) {
        kind == .delta
            ? (0, keyCount, 2 * keyCount) : (valueCount + keyCount, valueCount, 0)
    }

    fileprivate func keyHead(of head: Int) -> Int {
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
            weights: convolution.weights.span.start, bias: convolution.bias?.span.start,
            state: state.floats, tokens: tokens, channels: channels, length: convolution.length,
            activates: convolution.activates ? 1 : 0)
        let job = unsafe ConvolutionJob(table: table, record: record)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ConvolutionJob.self).pointee.run(piece: piece)
        }
    }

    /// What a sequence's tokens find in a state that changes with each, into `y`,
    /// `[tokens][heads][width of values]`.
    ///
    /// - Parameters:
    ///   - inputs: `[tokens][rule.inputCount]`: a token's queries, keys and values.
    ///   - decays: `[tokens][rule.decayCount]`: what is left of a state.
    ///   - steps: `[tokens][heads of values]`.
    ///   - state: `rule.stateBytes` of floats: of each head of values, a row for each number of a
    ///     key.
    package func apply(
        _ rule: StateRule, inputs: Span<Float>, decays: Span<Float>, steps: Span<Float>,
        state: inout MutableRawSpan, tokens: Int, into y: inout MutableSpan<Float>,
        team: ComputeTeam
    ) {
        guard tokens > 0 else { return }
        precondition(inputs.count >= tokens * rule.inputCount)
        precondition(y.count >= tokens * rule.valueCount)
        precondition(decays.count >= tokens * rule.decayCount)
        precondition(steps.count >= tokens * rule.valueHeadCount)
        precondition(state.byteCount >= rule.stateBytes)
        let starts = rule.starts
        let record = unsafe ckernels_state_rule(
            query: inputs.start + starts.query, key: inputs.start + starts.key,
            value: inputs.start + starts.value, stride: rule.inputCount,
            decay: decays.start, step: steps.start, gate_stride: rule.valueHeadCount,
            decay_count: rule.decaysPerHead, state: state.floats, y: y.start,
            y_stride: rule.valueCount, tokens: tokens, key_width: rule.keyWidth,
            value_width: rule.valueWidth,
            only_adds: rule.kind == .delta ? 0 : 1, skip: 0)
        let job = unsafe StateRuleJob(table: table, rule: rule, record: record)
        unsafe team.run(pieces: rule.valueHeadCount, job: job) { job, head in
            unsafe job.assumingMemoryBound(to: StateRuleJob.self).pointee.run(head: head)
        }
    }

    /// What a state space learns and keeps: `steps = ln(1 + exp(steps + bias))`, of each head, and
    /// `decays = exp(factors · steps)`.
    package func timeSteps(
        _ steps: inout MutableSpan<Float>, decays: inout MutableSpan<Float>, bias: Span<Float>,
        factors: Span<Float>, tokens: Int
    ) {
        guard tokens > 0, !bias.isEmpty else { return }
        precondition(factors.count == bias.count)
        precondition(min(steps.count, decays.count) >= tokens * bias.count)
        unsafe ckernels_time_steps(
            bias.start, factors.start, tokens, bias.count, steps.start, decays.start)
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

extension Kernels {
    /// What Kimi's delta rule leaves: `x[t][h][i] = exp(bound · logistic(factors[h] · (x[t][h][i] +
    /// bias[h][i])))`.
    package func decays(
        _ x: inout MutableSpan<Float>, bias: Span<Float>, factors: Span<Float>, bound: Float,
        tokens: Int
    ) {
        guard tokens > 0, !factors.isEmpty else { return }
        precondition(bias.count % factors.count == 0 && x.count >= tokens * bias.count)
        unsafe ckernels_bounded_decays(
            bias.start, factors.start, bound, tokens, factors.count, bias.count / factors.count,
            x.start)
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

/// Heads of a state; `record` is of the first.
@safe
private struct StateRuleJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let rule: StateRule
    let record: ckernels_state_rule

    func run(head: Int) {
        let (keyWidth, valueWidth) = (rule.keyWidth, rule.valueWidth)
        var own = unsafe record
        unsafe own.query += rule.keyHead(of: head) * keyWidth
        unsafe own.key += rule.keyHead(of: head) * keyWidth
        unsafe own.value += head * valueWidth
        unsafe own.decay += head * rule.decaysPerHead
        unsafe own.step += head
        unsafe own.state += head * keyWidth * valueWidth
        unsafe own.y += head * valueWidth
        if case .adding(let skips) = rule.kind { unsafe own.skip = skips[head] }
        unsafe table.pointee.state_rule(&own, 0, valueWidth)
    }
}
