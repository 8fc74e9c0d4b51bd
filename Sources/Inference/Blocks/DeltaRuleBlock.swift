// Gated DeltaNet in place of attention: project, convolve queries, keys and values over a few
// positions, let each head's matrix forget and learn token by token, gate, project back. The
// matrices, and what the convolution needs of the positions before, are a sequence's state.
//
// Tokens go one by one, in prompts too: joining them in chunks, as the paper does for units that
// multiply matrices, rounds otherwise, and then a result would depend on where chunks begin.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let input = Self("delta rule, queries, keys and values")
    fileprivate static let convolved = Self("delta rule, the same convolved")
    fileprivate static let gate = Self("delta rule, gates")
    fileprivate static let steps = Self("delta rule, how much is learnt")
    fileprivate static let decays = Self("delta rule, how much is kept")
    fileprivate static let found = Self("delta rule, results")
    fileprivate static let gated = Self("delta rule, results gated")
}

/// Gated DeltaNet (arXiv 2412.06464): from `normed` to `projected`.
final class DeltaRuleBlock {
    private let executor: Executor
    private let products: Products
    private let workspace: Workspace
    private let cache: KVCache
    /// Tokens × (queries, keys and values), each.
    private var input: Buffer<Float>
    private var convolved: Buffer<Float>
    /// Tokens × values.
    private var gate: Buffer<Float>
    /// Tokens × heads, each.
    private var steps: Buffer<Float>
    private var decays: Buffer<Float>
    /// Tokens × values, each.
    private var found: Buffer<Float>
    private var gated: ProductInput

    private static func mixer(_ model: ModelShape) -> DeltaRuleMixer? {
        model.recurrents.lazy.compactMap { mixer -> DeltaRuleMixer? in
            if case .deltaRule(let mixer) = mixer { mixer } else { nil }
        }.first
    }

    static func isNeeded(_ sizes: ActivationShape) -> Bool { mixer(sizes.model) != nil }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        guard let mixer = mixer(sizes.model) else { return }
        let tokens = sizes.tokensMax
        let read: BufferLifetime = [.mixerInput, .mixing]
        buffers.add(.input, .floats(tokens * mixer.inputWidth), read)
        buffers.add(.gate, .floats(tokens * mixer.valueWidth), read)
        buffers.add(.steps, .floats(tokens * mixer.valueHeadCount), read)
        buffers.add(.decays, .floats(tokens * mixer.valueHeadCount), read)
        buffers.add(.convolved, .floats(tokens * mixer.inputWidth), .mixing)
        buffers.add(.found, .floats(tokens * mixer.valueWidth), .mixing)
        buffers.add(
            .gated, .input(rows: tokens, columns: mixer.valueWidth), [.mixing, .mixerOutput])
    }

    init(_ context: BlockContext, cache: KVCache) {
        let workspace = context.workspace
        executor = context.executor
        products = context.products
        self.workspace = workspace
        self.cache = cache
        input = workspace.floats(.input)
        convolved = workspace.floats(.convolved)
        gate = workspace.floats(.gate)
        steps = workspace.floats(.steps)
        decays = workspace.floats(.decays)
        found = workspace.floats(.found)
        gated = workspace.input(.gated)
    }

    func run(
        _ weights: LayerGraph.DeltaRule, layer: Int, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        try products.collect(weights.input, by: residual.normed, tokens: tokens, into: &input)
        try products.collect(weights.gate, by: residual.normed, tokens: tokens, into: &gate)
        try products.collect(weights.step, by: residual.normed, tokens: tokens, into: &steps)
        try products.collect(weights.decay, by: residual.normed, tokens: tokens, into: &decays)
        products.computeCollected()
        workspace.enter(.mixing)
        let start = MonotonicClock.nanoseconds
        executor.finishGates(weights, tokens: tokens, steps: &steps, decays: &decays)
        let stateBytes = weights.convolution.stateBytes + weights.rule.stateBytes
        cache.mixStates(of: wave, layer: layer, stateBytes: stateBytes) {
            mix($0, weights, state: $1)
        }
        let heads = weights.rule.valueHeadCount
        executor.normalizeInPlace(&found, rows: 0..<tokens * heads, by: weights.norm)
        executor.activate(
            .silu, gate: gate, up: found, isGated: true, rows: tokens,
            columns: weights.rule.valueCount, into: &gated)
        executor.count(since: start)
        workspace.enter(.mixerOutput)
        try products.multiply(
            weights.output, by: gated, tokens: tokens, into: &residual.projected)
    }

    /// A sequence's tokens, whose state begins at `state`.
    private func mix(_ rows: Range<Int>, _ weights: LayerGraph.DeltaRule, state: Int) {
        let (arena, rule) = (cache.pool.arena, weights.rule)
        executor.convolve(
            input, rows, by: weights.convolution, state: state, in: arena, into: &convolved)
        for token in rows {
            let start = token * rule.inputCount
            let keys = start + rule.keyCount
            executor.normalizeInPlace(
                &convolved, elements: start..<keys, by: weights.queryNorm)
            executor.normalizeInPlace(
                &convolved, elements: keys..<keys + rule.keyCount, by: weights.keyNorm)
        }
        executor.apply(
            rule, rows, inputs: convolved, decays: decays, steps: steps,
            state: state + weights.convolution.stateBytes, in: arena, into: &found)
    }
}

extension Executor {
    /// How much each head learns of each token, and keeps of what it knew.
    fileprivate func finishGates(
        _ weights: LayerGraph.DeltaRule, tokens: Int, steps: inout Buffer<Float>,
        decays: inout Buffer<Float>
    ) {
        let count = tokens * weights.rule.valueHeadCount
        var learnt = steps.mutableSpan(in: 0..<count)
        kernels.sigmoid(&learnt, count: count)
        var kept = decays.mutableSpan(in: 0..<count)
        kernels.decays(
            &kept, bias: weights.decayBias.span, factors: weights.decayFactors.span,
            tokens: tokens)
    }

    /// Norms `elements` of a buffer, whole rows.
    func normalizeInPlace(
        _ buffer: inout Buffer<Float>, elements: Range<Int>, by norm: Norm
    ) {
        var rows = buffer.mutableSpan(in: elements)
        kernels.normalizeInPlace(&rows, rows: elements.count / norm.width, by: norm)
    }

    /// Norms rows of a buffer.
    fileprivate func normalizeInPlace(
        _ buffer: inout Buffer<Float>, rows: Range<Int>, by norm: Norm
    ) {
        normalizeInPlace(&buffer, elements: rows.scaled(norm.width), by: norm)
    }

    /// A rule over a sequence's tokens, rows of all buffers, whose matrices begin at `state` of
    /// `arena`.
    func apply(
        _ rule: StateRule, _ tokens: Range<Int>, inputs: borrowing Buffer<Float>,
        decays: borrowing Buffer<Float>, steps: borrowing Buffer<Float>, state: Int,
        in arena: MemoryArena, into y: inout Buffer<Float>
    ) {
        let heads = tokens.scaled(rule.valueHeadCount)
        var bytes = arena.mutableBytes(at: state, byteCount: rule.stateBytes)
        var results = y.mutableSpan(in: tokens.scaled(rule.valueCount))
        kernels.apply(
            rule, inputs: inputs.span.extracting(tokens.scaled(rule.inputCount)),
            decays: decays.span.extracting(heads), steps: steps.span.extracting(heads),
            state: &bytes, tokens: tokens.count, into: &results, team: team)
    }
}
