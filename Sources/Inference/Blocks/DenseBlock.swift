// Dense feed-forward networks: of layers, and those experts that every token uses.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat

extension BufferName {
    fileprivate static let gate = Self("dense, gates")
    fileprivate static let up = Self("dense, ups")
    fileprivate static let gated = Self("dense, activations")
}

/// Whole networks, from `normed` to `projected`.
final class DenseBlock {
    private let executor: Executor
    private let products: Products
    private let observer: PassObserver
    private let activation: Activation
    /// Tokens × network width, each.
    private var gate: Buffer<Float>
    private var up: Buffer<Float>
    /// The same, after the activation.
    private var gated: ProductInput

    /// The widest network; 0 where nothing is dense.
    private static func width(_ sizes: ActivationShape) -> Int {
        let model = sizes.model
        return max(sizes.bundlesNeurons ? 0 : model.feedForwardWidth, model.sharedExpertWidth)
    }

    static func isNeeded(_ sizes: ActivationShape) -> Bool { width(sizes) > 0 }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, width) = (sizes.tokensMax, width(sizes))
        buffers.add(.gate, .floats(tokens * width), .feedForward)
        buffers.add(.up, .floats(tokens * width), .feedForward)
        buffers.add(.gated, .input(rows: tokens, columns: width), .feedForward)
    }

    init(_ context: BlockContext) {
        executor = context.executor
        products = context.products
        observer = context.observer
        activation = context.graph.shape.activation
        gate = context.workspace.floats(.gate)
        up = context.workspace.floats(.up)
        gated = context.workspace.input(.gated)
    }

    /// Gate and up, activation, down, each product with its bias where there is one. `layer` is nil
    /// for what is not a layer's own network.
    func run(
        _ network: LayerGraph.Dense, layer: Int?, tokens: Int,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        if let matrix = network.gate {
            try products.collect(matrix, by: residual.normed, tokens: tokens, into: &gate)
        }
        try products.collect(network.up, by: residual.normed, tokens: tokens, into: &up)
        products.computeCollected()
        executor.addBias(network.gateBias, tokens: tokens, to: &gate)
        executor.addBias(network.upBias, tokens: tokens, to: &up)
        if let layer, let onNeurons = observer.onNeurons {
            network.gate == nil
                ? onNeurons(layer, residual.normed, &up, tokens)
                : onNeurons(layer, residual.normed, &gate, tokens)
        }
        executor.activate(
            activation, gate: &gate, up: up, isGated: network.gate != nil, bound: network.bound,
            rows: tokens, columns: network.width, into: &gated)
        try products.multiply(
            network.down, by: gated, tokens: tokens, into: &residual.projected)
        executor.addBias(network.downBias, tokens: tokens, to: &residual.projected)
    }
}
