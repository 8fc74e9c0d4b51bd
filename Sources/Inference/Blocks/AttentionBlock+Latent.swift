// Latent attention (DeepSeek-V2, arXiv 2405.04434): a head's queries are taken to latents,
// attention is over these, and what it sums is taken to the head's values.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat

extension BufferName {
    fileprivate static let compressed = Self("latent attention, compressed queries")
    fileprivate static let plain = Self("latent attention, queries before latents")
    fileprivate static let plainOfHeads = Self("latent attention, the same head by head")
    fileprivate static let queries = Self("latent attention, queries of latents")
    fileprivate static let attendedOfHeads = Self("latent attention, sums head by head")
    fileprivate static let values = Self("latent attention, heads' values")
}

/// What latent attention computes in; without such layers nothing.
final class LatentBuffers {
    /// Tokens × query rank.
    fileprivate var compressed: ProductInput
    /// Tokens × heads × plain width.
    fileprivate var plain: Buffer<Float>
    /// Heads × tokens × plain width.
    fileprivate var plainOfHeads: ProductInput
    /// Tokens × heads × latent width.
    fileprivate(set) var queries: Buffer<Float>
    /// Heads × tokens × latent width.
    fileprivate var attendedOfHeads: ProductInput
    /// Tokens × heads × value head width.
    fileprivate var values: ProductInput

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let mixer = sizes.model.latents.first
        let tokens = sizes.tokensMax
        let rows = tokens * (mixer?.headCount ?? 0)
        let (plain, rank) = (mixer?.plainHeadWidth ?? 0, mixer?.keyValueRank ?? 0)
        buffers.add(
            .compressed, .input(rows: tokens, columns: mixer?.queryRank ?? 0), .mixerInput)
        buffers.add(.plain, .floats(rows * plain), .mixerInput)
        buffers.add(.plainOfHeads, .input(rows: rows, columns: plain), .mixerInput)
        buffers.add(.queries, .floats(rows * rank), [.mixerInput, .mixing])
        buffers.add(.attendedOfHeads, .input(rows: rows, columns: rank), .mixerOutput)
        buffers.add(
            .values, .input(rows: tokens, columns: mixer?.valueWidth ?? 0), .mixerOutput)
    }

    init(_ workspace: Workspace) {
        compressed = workspace.input(.compressed)
        plain = workspace.floats(.plain)
        plainOfHeads = workspace.input(.plainOfHeads)
        queries = workspace.floats(.queries)
        attendedOfHeads = workspace.input(.attendedOfHeads)
        values = workspace.input(.values)
    }
}

extension AttentionBlock {
    /// Queries of latents and their parts that turn, latents, and keys that turn.
    func project(
        _ weights: LayerGraph.Latent, _ attention: LayerGraph.Attention, tokens: Int,
        _ residual: borrowing ResidualStream
    ) throws(ReadFailure) {
        let shape = weights.shape
        if let compression = weights.compression {
            try products.multiply(
                compression.matrix, by: residual.normed, tokens: tokens,
                into: &latent.compressed.floats)
            executor.normalizeInPlace(
                &latent.compressed.floats, 0..<tokens * compression.norm.width,
                by: compression.norm)
            executor.prepare(
                &latent.compressed, rows: tokens, columns: compression.norm.width)
            try products.collect(
                weights.plainQuery, by: latent.compressed, tokens: tokens, into: &latent.plain)
            try products.collect(
                attention.query, by: latent.compressed, tokens: tokens, into: &query)
        } else {
            try products.collect(
                weights.plainQuery, by: residual.normed, tokens: tokens, into: &latent.plain)
            try products.collect(
                attention.query, by: residual.normed, tokens: tokens, into: &query)
        }
        if let latent = attention.value {
            try products.collect(latent, by: residual.normed, tokens: tokens, into: &value)
        }
        if let matrix = attention.key {
            try products.collect(matrix, by: residual.normed, tokens: tokens, into: &key)
        }
        if let gate = attention.gate {
            try products.collect(gate, by: residual.normed, tokens: tokens, into: &gates)
        }
        products.computeCollected()
        executor.takeHeads(
            of: latent.plain, tokens: tokens, heads: shape.headCount, width: shape.plainHeadWidth,
            into: &latent.plainOfHeads)
        try products.collect(
            weights.keys, heads: shape.headCount, by: latent.plainOfHeads, tokens: tokens,
            into: &latent.queries)
        products.computeCollected()
    }

    /// Takes what was summed of latents to heads' values, and projects these back.
    func finish(
        _ weights: LayerGraph.Latent, _ attention: LayerGraph.Attention, tokens: Int,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let shape = weights.shape
        executor.takeHeads(
            of: attended.floats, tokens: tokens, heads: shape.headCount, width: shape.keyValueRank,
            into: &latent.attendedOfHeads)
        try products.collect(
            weights.values, heads: shape.headCount, by: latent.attendedOfHeads, tokens: tokens,
            into: &latent.values.floats)
        products.computeCollected()
        executor.gate(
            &latent.values.floats, by: &gates, attention.shape.outputGate,
            heads: tokens * shape.headCount, width: shape.valueHeadWidth)
        executor.prepare(&latent.values, rows: tokens, columns: shape.valueWidth)
        try products.multiply(
            attention.output, by: latent.values, tokens: tokens, into: &residual.projected)
    }
}

extension Executor {
    /// Tokens × heads × width becomes heads × tokens × width, ready for products.
    fileprivate func takeHeads(
        of buffer: borrowing Buffer<Float>, tokens: Int, heads: Int, width: Int,
        into input: inout ProductInput
    ) {
        let source = buffer.span
        var target = input.floats.mutableSpan(in: 0..<tokens * heads * width)
        for token in 0..<tokens {
            for head in 0..<heads {
                let from = (token * heads + head) * width
                let to = (head * tokens + token) * width
                for index in 0..<width { target[to + index] = source[from + index] }
            }
        }
        prepare(&input, rows: tokens * heads, columns: width)
    }
}
