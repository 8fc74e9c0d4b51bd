// Layers as lists of blocks. A new kind of block is a file of its own, a case here, and its line in
// `ModelBlocks`.

internal import Compute
internal import FlashStorage
internal import SequenceState
internal import Weights

/// What blocks are made with.
struct BlockContext {
    let graph: ModelGraph
    let sizes: ActivationShape
    let store: WeightStore
    let executor: Executor
    let products: Products
    let workspace: Workspace
    let angles: PassAngles
    let observer: PassObserver
}

/// Lets tokens see each other: from `normed` to `projected`.
enum MixerBlock {
    case attention(AttentionBlock, LayerGraph.Attention)
    case convolution(ConvolutionBlock, LayerGraph.Convolution)
    case state(StateBlock, LayerGraph.State)
}

/// Takes each token by itself: from `normed` to `projected`, or right into `hidden`.
enum FeedForwardBlock {
    case dense(DenseBlock, LayerGraph.Dense)
    case neurons(NeuronBlock, LayerGraph.Neurons)
    case mixture(MixtureBlock, LayerGraph.Mixture)
}

/// A model's blocks: one of each kind that some layer needs, shared by those layers.
struct ModelBlocks {
    let attention: AttentionBlock
    let convolution: ConvolutionBlock?
    let state: StateBlock?
    let dense: DenseBlock?
    let neurons: NeuronBlock?
    let mixture: MixtureBlock?
    let layerEmbedding: LayerEmbeddingBlock?

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        AttentionBlock.declare(sizes, in: &buffers)
        if ConvolutionBlock.isNeeded(sizes) { ConvolutionBlock.declare(sizes, in: &buffers) }
        if StateBlock.isNeeded(sizes) { StateBlock.declare(sizes, in: &buffers) }
        if DenseBlock.isNeeded(sizes) { DenseBlock.declare(sizes, in: &buffers) }
        if NeuronBlock.isNeeded(sizes) { NeuronBlock.declare(sizes, in: &buffers) }
        if MixtureBlock.isNeeded(sizes) { MixtureBlock.declare(sizes, in: &buffers) }
        if LayerEmbeddingBlock.isNeeded(sizes) { LayerEmbeddingBlock.declare(sizes, in: &buffers) }
    }

    init(_ context: BlockContext, cache: KVCache) {
        let sizes = context.sizes
        attention = AttentionBlock(context, cache: cache)
        convolution =
            ConvolutionBlock.isNeeded(sizes) ? ConvolutionBlock(context, cache: cache) : nil
        state = StateBlock.isNeeded(sizes) ? StateBlock(context, cache: cache) : nil
        dense = DenseBlock.isNeeded(sizes) ? DenseBlock(context) : nil
        neurons = NeuronBlock.isNeeded(sizes) ? NeuronBlock(context) : nil
        mixture = MixtureBlock.isNeeded(sizes) ? MixtureBlock(context, shared: dense) : nil
        layerEmbedding = LayerEmbeddingBlock.isNeeded(sizes) ? LayerEmbeddingBlock(context) : nil
    }

    /// Those that compute a layer.
    ///
    /// - Parameter next: the layer after it.
    func blocks(_ layer: LayerGraph, _ next: LayerGraph?, _ workspace: Workspace) -> LayerBlocks {
        let mixer: MixerBlock? =
            switch layer.mixer {
            case .attention(let weights): .attention(attention, weights)
            case .convolution(let weights): .convolution(Self.needed(convolution), weights)
            case .state(let weights): .state(Self.needed(state), weights)
            case nil: nil
            }
        let feedForward: FeedForwardBlock? =
            switch layer.feedForward {
            case .dense(let weights): .dense(Self.needed(dense), weights)
            case .neurons(let weights): .neurons(Self.needed(neurons), weights)
            case .mixture(let weights): .mixture(Self.needed(mixture), weights)
            case nil: nil
            }
        return LayerBlocks(
            graph: layer, next: next, mixer: mixer, feedForward: feedForward,
            layerEmbedding: layer.layerEmbedding.map { (Self.needed(layerEmbedding), $0) },
            workspace: workspace)
    }

    private static func needed<Block>(_ block: Block?) -> Block {
        guard let block else { preconditionFailure("a layer needs \(Block.self), sizes do not") }
        return block
    }
}

/// One layer.
struct LayerBlocks {
    let graph: LayerGraph
    let next: LayerGraph?
    let mixer: MixerBlock?
    let feedForward: FeedForwardBlock?
    let layerEmbedding: (block: LayerEmbeddingBlock, weights: LayerGraph.LayerEmbedding)?
    let workspace: Workspace

    /// Both halves, or the one that there is, for one wave.
    func run(_ wave: Wave, _ residual: inout ResidualStream) throws(ReadFailure) {
        workspace.enter(.mixerInput)
        if let (block, weights) = layerEmbedding { try block.begin(weights, wave, &residual) }
        if case .mixture(let block, let weights) = feedForward, weights.routesFirst {
            try block.routeFirst(weights, graph, wave, &residual)
        }
        if let mixer { try run(mixer, wave, &residual) }
        workspace.enter(.feedForward)
        if let next, case .attention(let block, _) = mixer {
            try block.readAhead(for: next, wave, &residual)
        }
        if let feedForward { try run(feedForward, wave, &residual) }
        if let (block, weights) = layerEmbedding {
            try block.run(weights, layer: graph.index, wave, &residual)
        }
        if let scale = graph.outputScale { residual.scale(wave, by: scale) }
    }

    private func run(
        _ mixer: MixerBlock, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        residual.normalize(by: graph.mixerNorm, wave)
        switch mixer {
        case .attention(let block, let weights):
            try block.run(weights, wave, &residual)
        case .convolution(let block, let weights):
            try block.run(weights, layer: graph.index, wave, &residual)
        case .state(let block, let weights):
            try block.run(weights, layer: graph.index, wave, &residual)
        }
        residual.addLater(
            graph.afterMixerNorm, scale: graph.residualScale, tokens: wave.tokenCount)
    }

    private func run(
        _ feedForward: FeedForwardBlock, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        var norm = graph.feedForwardNorm
        if case .mixture(_, let weights) = feedForward, let beside = weights.beside {
            norm = beside.routerNorm
        }
        residual.normalize(by: norm, wave)
        switch feedForward {
        case .dense(let block, let weights):
            try block.run(weights, layer: graph.index, tokens: wave.tokenCount, &residual)
        case .neurons(let block, let weights):
            try block.run(weights, tokens: wave.tokenCount, &residual)
        case .mixture(let block, let weights):
            try block.run(weights, graph, wave, &residual)
            // Else it was added where it was summed.
            guard graph.afterFeedForwardNorm != nil else { return }
        }
        residual.addLater(
            graph.afterFeedForwardNorm, scale: graph.residualScale, tokens: wave.tokenCount)
    }

    /// All waves went through.
    func end() {
        if case .mixture(let block, _) = feedForward { block.reportRouting(layer: graph.index) }
    }
}
