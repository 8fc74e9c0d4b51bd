// Mamba 2 in place of attention: project, convolve values, keys and queries over a few positions,
// let each head's matrix forget and add token by token, gate, norm, project back. The matrices, and
// what the convolution needs of the positions before, are a sequence's state.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let gate = Self("state space, gates")
    fileprivate static let input = Self("state space, values, keys and queries")
    fileprivate static let convolved = Self("state space, the same convolved")
    fileprivate static let steps = Self("state space, how much is added")
    fileprivate static let decays = Self("state space, how much is kept")
    fileprivate static let found = Self("state space, results")
    fileprivate static let gated = Self("state space, results gated")
}

/// Mamba 2 (arXiv 2405.21060): from `normed` to `projected`.
final class StateSpaceBlock {
    private let executor: Executor
    private let products: Products
    private let workspace: Workspace
    private let cache: KVCache
    /// Tokens × values.
    private var gate: Buffer<Float>
    /// Tokens × (values, keys and queries), each.
    private var input: Buffer<Float>
    private var convolved: Buffer<Float>
    /// Tokens × heads, each.
    private var steps: Buffer<Float>
    private var decays: Buffer<Float>
    /// Tokens × values, each.
    private var found: Buffer<Float>
    private var gated: ProductInput

    private static func mixer(_ model: ModelShape) -> StateSpaceMixer? {
        model.recurrents.lazy.compactMap { mixer -> StateSpaceMixer? in
            if case .stateSpace(let mixer) = mixer { mixer } else { nil }
        }.first
    }

    static func isNeeded(_ sizes: ActivationShape) -> Bool { mixer(sizes.model) != nil }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        guard let mixer = mixer(sizes.model) else { return }
        let tokens = sizes.tokensMax
        let read: BufferLifetime = [.mixerInput, .mixing]
        buffers.add(.gate, .floats(tokens * mixer.valueWidth), read)
        buffers.add(.input, .floats(tokens * mixer.inputWidth), read)
        buffers.add(.steps, .floats(tokens * mixer.headCount), read)
        buffers.add(.decays, .floats(tokens * mixer.headCount), .mixing)
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
        gate = workspace.floats(.gate)
        input = workspace.floats(.input)
        convolved = workspace.floats(.convolved)
        steps = workspace.floats(.steps)
        decays = workspace.floats(.decays)
        found = workspace.floats(.found)
        gated = workspace.input(.gated)
    }

    func run(
        _ weights: LayerGraph.StateSpace, layer: Int, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let (tokens, rule) = (wave.tokenCount, weights.rule)
        try products.collect(weights.gate, by: residual.normed, tokens: tokens, into: &gate)
        try products.collect(weights.input, by: residual.normed, tokens: tokens, into: &input)
        try products.collect(weights.step, by: residual.normed, tokens: tokens, into: &steps)
        products.computeCollected()
        workspace.enter(.mixing)
        let start = MonotonicClock.nanoseconds
        executor.finishSteps(weights, tokens: tokens, steps: &steps, decays: &decays)
        let stateBytes = weights.convolution.stateBytes + rule.stateBytes
        cache.mixStates(of: wave, layer: layer, stateBytes: stateBytes) {
            mix($0, weights, state: $1)
        }
        executor.gate(
            found, by: gate, weights.norms, rows: tokens, columns: rule.valueCount, into: &gated)
        executor.count(since: start)
        workspace.enter(.mixerOutput)
        try products.multiply(
            weights.output, by: gated, tokens: tokens, into: &residual.projected)
    }

    /// A sequence's tokens, whose state begins at `state`.
    private func mix(_ rows: Range<Int>, _ weights: LayerGraph.StateSpace, state: Int) {
        let arena = cache.pool.arena
        executor.convolve(
            input, rows, by: weights.convolution, state: state, in: arena, into: &convolved)
        executor.apply(
            weights.rule, rows, inputs: convolved, decays: decays, steps: steps,
            state: state + weights.convolution.stateBytes, in: arena, into: &found)
    }
}

extension Executor {
    /// How much each head adds of each token, and keeps of what it knew.
    fileprivate func finishSteps(
        _ weights: LayerGraph.StateSpace, tokens: Int, steps: inout Buffer<Float>,
        decays: inout Buffer<Float>
    ) {
        let count = tokens * weights.rule.valueHeadCount
        var added = steps.mutableSpan(in: 0..<count)
        var kept = decays.mutableSpan(in: 0..<count)
        kernels.timeSteps(
            &added, decays: &kept, bias: weights.stepBias.span,
            factors: weights.decayFactors.span, tokens: tokens)
    }

    /// `x · silu(gate)`, then the norm of each group of a row, ready for products.
    fileprivate func gate(
        _ x: borrowing Buffer<Float>, by gate: borrowing Buffer<Float>, _ norms: [Norm], rows: Int,
        columns: Int, into input: inout ProductInput
    ) {
        var values = input.floats.mutableSpan(in: 0..<rows * columns)
        kernels.activate(
            .silu, gate: gate.span, up: x.span, into: &values, count: rows * columns)
        let width = columns / norms.count
        for row in 0..<rows {
            for (group, norm) in norms.enumerated() {
                let start = row * columns + group * width
                normalizeInPlace(&input.floats, elements: start..<start + width, by: norm)
            }
        }
        prepare(&input, rows: rows, columns: columns)
    }
}
