// Short convolutions in place of attention: project, gate, convolve over a few positions, gate,
// project back. What a sequence needs of the positions before is its state.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let input = Self("convolution, inputs")
    fileprivate static let before = Self("convolution, factors before")
    fileprivate static let after = Self("convolution, factors after")
    fileprivate static let mixed = Self("convolution, sums")
}

/// A convolution between gates (LFM2): from `normed` to `projected`.
final class ConvolutionBlock {
    private let executor: Executor
    private let products: Products
    private let workspace: Workspace
    private let cache: KVCache
    /// Tokens × width, each.
    private var input: Buffer<Float>
    private var before: Buffer<Float>
    private var after: Buffer<Float>
    private var mixed: ProductInput
    private let width: Int

    static func isNeeded(_ sizes: ActivationShape) -> Bool {
        sizes.model.recurrents.contains {
            if case .shortConvolution = $0 { true } else { false }
        }
    }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, width) = (sizes.tokensMax, sizes.model.width)
        let read: BufferLifetime = [.mixerInput, .mixing]
        for name in [BufferName.input, .before, .after] {
            buffers.add(name, .floats(tokens * width), read)
        }
        buffers.add(.mixed, .input(rows: tokens, columns: width), [.mixing, .mixerOutput])
    }

    init(_ context: BlockContext, cache: KVCache) {
        executor = context.executor
        products = context.products
        workspace = context.workspace
        self.cache = cache
        width = context.graph.shape.width
        input = context.workspace.floats(.input)
        before = context.workspace.floats(.before)
        after = context.workspace.floats(.after)
        mixed = context.workspace.input(.mixed)
    }

    func run(
        _ weights: LayerGraph.Convolution, layer: Int, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        try products.collect(weights.before, by: residual.normed, tokens: tokens, into: &before)
        try products.collect(weights.after, by: residual.normed, tokens: tokens, into: &after)
        try products.collect(weights.input, by: residual.normed, tokens: tokens, into: &input)
        products.computeCollected()
        workspace.enter(.mixing)
        let start = MonotonicClock.nanoseconds
        let convolution = weights.convolution
        cache.mixStates(of: wave, layer: layer, stateBytes: convolution.stateBytes) {
            mix($0, convolution, state: $1)
        }
        executor.prepare(&mixed, rows: tokens, columns: width)
        executor.count(since: start)
        workspace.enter(.mixerOutput)
        try products.multiply(
            weights.output, by: mixed, tokens: tokens, into: &residual.projected)
    }

    /// A sequence's tokens, whose state begins at `state`.
    private func mix(_ tokens: Range<Int>, _ convolution: ShortConvolution, state: Int) {
        executor.convolve(
            input, between: before, and: after, tokens, by: convolution, state: state,
            in: cache.pool.arena, into: &mixed.floats)
    }
}

extension Executor {
    /// A convolution of a sequence's tokens, rows of `x` and `y`, whose state begins at `state` of
    /// `arena`.
    func convolve(
        _ x: borrowing Buffer<Float>, _ tokens: Range<Int>, by convolution: ShortConvolution,
        state: Int, in arena: MemoryArena, into y: inout Buffer<Float>
    ) {
        let rows = tokens.scaled(convolution.channels)
        let inputs = ConvolutionInputs(
            x: x.span.extracting(rows), before: nil, after: nil, tokens: tokens.count)
        var bytes = arena.mutableBytes(at: state, byteCount: convolution.stateBytes)
        var sums = y.mutableSpan(in: rows)
        kernels.convolve(inputs, by: convolution, state: &bytes, into: &sums, team: team)
    }

    /// The same between gates.
    fileprivate func convolve(
        _ x: borrowing Buffer<Float>, between before: borrowing Buffer<Float>,
        and after: borrowing Buffer<Float>, _ tokens: Range<Int>,
        by convolution: ShortConvolution, state: Int, in arena: MemoryArena,
        into y: inout Buffer<Float>
    ) {
        let rows = tokens.scaled(convolution.channels)
        let inputs = ConvolutionInputs(
            x: x.span.extracting(rows), before: before.span.extracting(rows),
            after: after.span.extracting(rows), tokens: tokens.count)
        var bytes = arena.mutableBytes(at: state, byteCount: convolution.stateBytes)
        var sums = y.mutableSpan(in: rows)
        kernels.convolve(inputs, by: convolution, state: &bytes, into: &sums, team: team)
    }
}
