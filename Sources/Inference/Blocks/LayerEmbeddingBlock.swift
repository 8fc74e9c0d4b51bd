// Embeddings that each layer has of its own for each token (per-layer embeddings, as in Gemma 4's E
// models; the equations are those of llama.cpp's graph). Their table stays on flash: a token's row
// of it holds all layers', and is read when its first layer begins.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import Weights

extension BufferName {
    fileprivate static let rows = Self("layers' embeddings, all layers'")
    fileprivate static let row = Self("layers' embeddings, one token's from its table")
    fileprivate static let own = Self("layers' embeddings, a layer's")
    fileprivate static let gates = Self("layers' embeddings, gates")
    fileprivate static let gated = Self("layers' embeddings, gated")
}

/// Makes all layers' embeddings of a wave's tokens, and lets each layer add what it makes of its
/// own.
final class LayerEmbeddingBlock {
    private let executor: Executor
    private let products: Products
    private let store: WeightStore
    private let shape: ModelShape
    /// Numbers of one layer's embedding.
    private let width: Int
    /// Pass tokens × layers × width.
    private var rows: Buffer<Float>
    /// Layers × width.
    private var row: Buffer<Float>
    /// Wave tokens × width, each.
    private var own: Buffer<Float>
    private var gates: Buffer<Float>
    private var gated: ProductInput

    static func isNeeded(_ sizes: ActivationShape) -> Bool {
        sizes.model.layerEmbeddingWidth != nil
    }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, all) = (sizes.tokensMax, sizes.model.layerEmbeddingsWidth)
        let width = sizes.model.layerEmbeddingWidth ?? 0
        buffers.add(.rows, .floats(sizes.passTokensMax * all), .always)
        buffers.add(.row, .floats(all), .mixerInput)
        buffers.add(.own, .floats(tokens * width), .feedForward)
        buffers.add(.gates, .floats(tokens * width), .feedForward)
        buffers.add(.gated, .input(rows: tokens, columns: width), .feedForward)
    }

    init(_ context: BlockContext) {
        executor = context.executor
        products = context.products
        store = context.store
        shape = context.graph.shape
        width = shape.layerEmbeddingWidth ?? 0
        rows = context.workspace.floats(.rows)
        row = context.workspace.floats(.row)
        own = context.workspace.floats(.own)
        gates = context.workspace.floats(.gates)
        gated = context.workspace.input(.gated)
    }

    /// All layers' embeddings of a wave: what is projected of the model's own, normed for each
    /// layer, and what the table says.
    ///
    /// - Precondition: the residual stream is what was embedded.
    func begin(
        _ weights: LayerGraph.LayerEmbedding, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        guard let projection = weights.projection else { return }
        residual.normalize(by: nil, wave)
        try products.collect(
            projection.matrix, by: residual.normed, tokens: wave.tokenCount, into: &rows,
            firstRow: wave.rows.lowerBound)
        products.computeCollected()
        let elements = wave.rows.scaled(shape.layerEmbeddingsWidth)
        executor.scale(&rows, elements, by: 1 / Float(shape.width).squareRoot())
        executor.normalizeInPlace(&rows, elements, by: projection.norm)
        try addTable(wave)
        executor.scale(&rows, elements, by: 1 / Float(2).squareRoot())
    }

    /// Adds rows of the table to a wave's.
    private func addTable(_ wave: Wave) throws(ReadFailure) {
        guard let format = store.manifest.layerEmbeddings?.format else {
            preconditionFailure("layers' embeddings without a table")
        }
        let (columns, factor) = (shape.layerEmbeddingsWidth, Float(width).squareRoot())
        try store.forEachRow(
            of: .layerEmbeddings, wave.tokens, from: wave.rows.lowerBound
        ) { index, bytes in
            executor.dequantize(bytes, format: format, columns: columns, scale: factor, to: &row)
            executor.add(row, to: &rows, rows: index..<index + 1, columns: columns)
        }
    }

    /// What a layer makes of its embeddings, gated by what it has made otherwise, is due.
    func run(
        _ weights: LayerGraph.LayerEmbedding, layer: Int, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        residual.normalize(by: nil, wave)
        try products.multiply(weights.gate, by: residual.normed, tokens: tokens, into: &gates)
        takeOwn(wave, layer: layer)
        executor.activate(
            shape.activation, gate: &gates, up: own, isGated: true, rows: tokens,
            columns: width, into: &gated)
        try products.multiply(
            weights.output, by: gated, tokens: tokens, into: &residual.projected)
        residual.addLater(weights.afterNorm, scale: nil, tokens: tokens)
    }

    /// A layer's own of all layers' embeddings, side by side.
    private func takeOwn(_ wave: Wave, layer: Int) {
        executor.takeColumns(
            layer * width..<(layer + 1) * width, ofRows: wave.rows, of: rows,
            columns: shape.layerEmbeddingsWidth, to: &own)
    }
}

extension Executor {
    /// A row of a table, scaled.
    fileprivate func dequantize(
        _ bytes: RawSpan, format: WeightFormat, columns: Int, scale factor: Float,
        to buffer: inout Buffer<Float>
    ) {
        let kernels = kernels
        var values = buffer.mutableSpan(in: 0..<columns)
        kernels.dequantize(row: bytes, format: format, columns: columns, into: &values)
        kernels.scale(&values, by: factor)
    }

    /// Some columns of some rows, side by side.
    fileprivate func takeColumns(
        _ range: Range<Int>, ofRows rows: Range<Int>, of buffer: borrowing Buffer<Float>,
        columns: Int, to target: inout Buffer<Float>
    ) {
        let source = buffer.span
        var elements = target.mutableSpan(in: 0..<rows.count * range.count)
        var place = 0
        for row in rows {
            for column in range {
                elements[place] = source[row * columns + column]
                place += 1
            }
        }
    }

    /// Multiplies some elements.
    fileprivate func scale(
        _ buffer: inout Buffer<Float>, _ elements: Range<Int>, by factor: Float
    ) {
        let kernels = kernels
        var values = buffer.mutableSpan(in: elements)
        kernels.scale(&values, by: factor)
    }
}
