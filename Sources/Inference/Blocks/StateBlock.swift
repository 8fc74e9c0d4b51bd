// Heads with a state in place of attention (Gated DeltaNet, Mamba 2): project, convolve queries,
// keys and values over a few positions, let each head's matrix change token by token, gate, project
// back. The matrices, and what the convolution needs of the positions before, are a sequence's
// state.
//
// Tokens go one by one, in prompts too: joining them in chunks, as the papers do for units that
// multiply matrices, rounds otherwise, and then a result would depend on where chunks begin.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let input = Self("state, queries, keys and values")
    fileprivate static let convolved = Self("state, the same convolved")
    fileprivate static let gate = Self("state, gates")
    fileprivate static let steps = Self("state, how much is learnt")
    fileprivate static let decays = Self("state, how much is kept")
    fileprivate static let found = Self("state, results")
    fileprivate static let gated = Self("state, results gated")
}

/// Gated DeltaNet (arXiv 2412.06464), or Mamba 2 (2405.21060): from `normed` to `projected`.
final class StateBlock {
    private let executor: Executor
    private let products: Products
    private let workspace: Workspace
    private let cache: KVCache
    /// Tokens × (queries, keys and values), each.
    private var input: Buffer<Float>
    private var convolved: Buffer<Float>
    /// Tokens × values.
    private var gate: Buffer<Float>
    /// Tokens × heads.
    private var steps: Buffer<Float>
    /// Tokens × heads, or × numbers of their keys.
    private var decays: Buffer<Float>
    /// Tokens × values, each.
    private var found: Buffer<Float>
    private var gated: ProductInput

    private static func widths(_ sizes: ActivationShape) -> StateWidths? {
        sizes.model.recurrents.lazy.compactMap { $0?.widths }.first
    }

    static func isNeeded(_ sizes: ActivationShape) -> Bool { widths(sizes) != nil }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        guard let widths = widths(sizes) else { return }
        let tokens = sizes.tokensMax
        let read: BufferLifetime = [.mixerInput, .mixing]
        buffers.add(.input, .floats(tokens * widths.input), read)
        buffers.add(.gate, .floats(tokens * widths.values), read)
        buffers.add(.steps, .floats(tokens * widths.heads), read)
        buffers.add(.decays, .floats(tokens * widths.decays), read)
        buffers.add(.convolved, .floats(tokens * widths.input), .mixing)
        buffers.add(.found, .floats(tokens * widths.values), .mixing)
        buffers.add(
            .gated, .input(rows: tokens, columns: widths.values), [.mixing, .mixerOutput])
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
        _ weights: LayerGraph.State, layer: Int, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        var place = 0
        for matrix in weights.inputs {
            try products.collect(
                matrix, by: residual.normed, tokens: tokens, into: &input, at: place,
                stride: weights.rule.inputCount)
            place += products.rows(of: matrix)
        }
        try products.collect(weights.gate, by: residual.normed, tokens: tokens, into: &gate)
        try products.collect(weights.step, by: residual.normed, tokens: tokens, into: &steps)
        if let decay = weights.decay {
            try products.collect(decay, by: residual.normed, tokens: tokens, into: &decays)
        }
        products.computeCollected()
        workspace.enter(.mixing)
        let start = MonotonicClock.nanoseconds
        executor.finishGates(weights, tokens: tokens, steps: &steps, decays: &decays)
        let stateBytes = weights.convolution.stateBytes + weights.rule.stateBytes
        cache.mixStates(of: wave, layer: layer, stateBytes: stateBytes) {
            mix($0, weights, state: $1)
        }
        executor.finishResults(weights, tokens: tokens, &found, gate: &gate, into: &gated)
        executor.count(since: start)
        workspace.enter(.mixerOutput)
        try products.multiply(
            weights.output, by: gated, tokens: tokens, into: &residual.projected)
    }

    /// A sequence's tokens, whose state begins at `state`.
    private func mix(_ rows: Range<Int>, _ weights: LayerGraph.State, state: Int) {
        let (arena, rule) = (cache.pool.arena, weights.rule)
        executor.convolve(
            input, rows, by: weights.convolution, state: state, in: arena, into: &convolved)
        if let norms = weights.unitNorms {
            for token in rows {
                let start = token * rule.inputCount
                let keys = start + rule.keyCount
                executor.normalizeInPlace(&convolved, start..<keys, by: norms.query)
                executor.normalizeInPlace(
                    &convolved, keys..<keys + rule.keyCount, by: norms.key)
            }
        }
        executor.apply(
            rule, rows, inputs: convolved, decays: decays, steps: steps,
            state: state + weights.convolution.stateBytes, in: arena, into: &found)
    }
}

extension Executor {
    /// How much each head learns of each token, and keeps of what it knew.
    fileprivate func finishGates(
        _ weights: LayerGraph.State, tokens: Int, steps: inout Buffer<Float>,
        decays: inout Buffer<Float>
    ) {
        let count = tokens * weights.rule.valueHeadCount
        var learnt = steps.mutableSpan(in: 0..<count)
        var kept = decays.mutableSpan(in: 0..<tokens * weights.rule.decayCount)
        let (bias, factors) = (weights.stepBias.span, weights.decayFactors.span)
        if weights.decay == nil {
            kernels.timeSteps(&learnt, decays: &kept, bias: bias, factors: factors, tokens: tokens)
            return
        }
        kernels.sigmoid(&learnt, count: count)
        if let bound = weights.decayBound {
            kernels.decays(&kept, bias: bias, factors: factors, bound: bound, tokens: tokens)
        } else {
            kernels.decays(&kept, bias: bias, factors: factors, tokens: tokens)
        }
    }

    /// Results normed and gated, in the layer's order, ready for products.
    fileprivate func finishResults(
        _ weights: LayerGraph.State, tokens: Int, _ found: inout Buffer<Float>,
        gate: inout Buffer<Float>, into gated: inout ProductInput
    ) {
        let columns = weights.rule.valueCount
        let count = tokens * columns
        guard weights.gatesFirst else {
            for norm in weights.norms { normalizeInPlace(&found, 0..<count, by: norm) }
            if weights.decayBound != nil {
                self.gate(&found, by: &gate, .sigmoid, heads: count, width: 1)
                copy(found, count: count, to: &gated.floats)
                prepare(&gated, rows: tokens, columns: columns)
                return
            }
            activate(
                .silu, gate: &gate, up: found, isGated: true, rows: tokens, columns: columns,
                into: &gated)
            return
        }
        var values = gated.floats.mutableSpan(in: 0..<count)
        kernels.activate(.silu, gate: gate.span, up: found.span, into: &values, count: count)
        for row in 0..<tokens {
            for (group, norm) in weights.norms.enumerated() {
                let start = row * columns + group * norm.width
                normalizeInPlace(&gated.floats, start..<start + norm.width, by: norm)
            }
        }
        prepare(&gated, rows: tokens, columns: columns)
    }

    /// A rule over a sequence's tokens, rows of all buffers, whose matrices begin at `state` of
    /// `arena`.
    fileprivate func apply(
        _ rule: StateRule, _ tokens: Range<Int>, inputs: borrowing Buffer<Float>,
        decays: borrowing Buffer<Float>, steps: borrowing Buffer<Float>, state: Int,
        in arena: MemoryArena, into y: inout Buffer<Float>
    ) {
        let heads = tokens.scaled(rule.valueHeadCount)
        let kept = tokens.scaled(rule.decayCount)
        var bytes = arena.mutableBytes(at: state, byteCount: rule.stateBytes)
        var results = y.mutableSpan(in: tokens.scaled(rule.valueCount))
        kernels.apply(
            rule, inputs: inputs.span.extracting(tokens.scaled(rule.inputCount)),
            decays: decays.span.extracting(kept), steps: steps.span.extracting(heads),
            state: &bytes, tokens: tokens.count, into: &results, team: team)
    }
}
