// Attention: project, norm, rotate, store keys and values in pages, attend, project back.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let query = Self("attention, queries")
    fileprivate static let key = Self("attention, keys")
    fileprivate static let value = Self("attention, values")
    fileprivate static let gates = Self("attention, gates of values summed")
    fileprivate static let partials = Self("attention, parts of one token's")
    fileprivate static let states = Self("attention, how far each head is")
    fileprivate static let attended = Self("attention, values summed")
    fileprivate static let looks = Self("attention, how much is looked at what")
    fileprivate static let places = Self("attention, places that are kept")
}

/// Attention over the KV cache: from `normed` to `projected`.
final class AttentionBlock {
    let executor: Executor
    let products: Products
    private let workspace: Workspace
    let cache: KVCache
    let angles: PassAngles
    /// Tokens × heads × head width, each; where heads are in parts, parts × tokens × heads of the
    /// part × head width, as if each part had tokens of its own.
    var query: Buffer<Float>
    var key: Buffer<Float>
    var value: Buffer<Float>
    /// Tokens × gate width: factors on `attended`.
    var gates: Buffer<Float>
    /// One token's attention over spans of positions.
    private var partials: Buffer<Float>
    /// Tokens × heads × 2, where sequences have spans on flash.
    var states: Buffer<Float>
    /// Tokens × heads × value head width.
    var attended: ProductInput
    /// Heads × pages that may be on flash: what a token can find in each.
    var bounds: Buffer<Float>
    let boundPagesMax: Int
    /// Tokens × heads × head width: the next layer's queries, guessed.
    var guess: Buffer<Float>
    /// Key-value heads × positions, each, for prompts of which some tokens are kept.
    var looks: Buffer<Float>
    var places: Buffer<Int32>
    /// Of the last prompt of which tokens were chosen: see ``SequenceChunk/filter``.
    var chosenPlaces: [Int] = []
    /// Where values are keys too.
    let latent: LatentBuffers

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, attentions) = (sizes.tokensMax, sizes.model.attentions)
        func most(_ width: (AttentionMixer) -> Int) -> Int { attentions.map(width).max() ?? 0 }
        let read: BufferLifetime = [.mixerInput, .mixing]
        buffers.add(.query, .floats(tokens * most(\.queryWidth)), read)
        buffers.add(.key, .floats(tokens * most(\.keyWidth)), read)
        buffers.add(.value, .floats(tokens * most(\.valueWidth)), read)
        let gatesLate = sizes.model.latents.contains { $0.gatesHeads == true }
        buffers.add(
            .gates, .floats(tokens * most(\.gateWidth)),
            gatesLate ? [.mixerInput, .mixing, .mixerOutput] : read)
        let partialCount = most {
            AttentionShape($0, scale: 1, format: KVFormat(.float))
                .partialCount(positions: sizes.contextTokens)
        }
        buffers.add(.partials, .floats(partialCount), .mixing)
        let stateCount = sizes.hasColdSpans ? tokens * most(\.headCount) * 2 : 0
        buffers.add(.states, .floats(stateCount), .mixing)
        buffers.add(
            .attended, .input(rows: tokens, columns: most(\.attendedWidth)),
            [.mixing, .mixerOutput])
        PageChoosing.declare(sizes, in: &buffers)
        LatentBuffers.declare(sizes, in: &buffers)
        let lookCount = sizes.hotTokensMax * most(\.keyValueHeadCount)
        buffers.add(.looks, .floats(lookCount), .mixing)
        buffers.add(.places, .indices(lookCount), .mixing)
    }

    init(_ context: BlockContext, cache: KVCache) {
        let workspace = context.workspace
        executor = context.executor
        products = context.products
        self.workspace = workspace
        self.cache = cache
        angles = context.angles
        query = workspace.floats(.query)
        key = workspace.floats(.key)
        value = workspace.floats(.value)
        gates = workspace.floats(.gates)
        partials = workspace.floats(.partials)
        states = workspace.floats(.states)
        attended = workspace.input(.attended)
        bounds = workspace.bounds
        boundPagesMax = PageChoosing.pagesMax(context.sizes)
        guess = workspace.guess
        latent = LatentBuffers(workspace)
        looks = workspace.floats(.looks)
        places = workspace.indices(.places)
    }

    func run(
        _ attention: LayerGraph.Attention, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        if let latent = attention.latent {
            try project(latent, attention, tokens: tokens, residual)
        } else {
            try project(attention, tokens: tokens, residual)
        }
        workspace.enter(.mixing)
        if let norm = attention.valueNorm {
            executor.normalizeInPlace(
                &value, 0..<tokens * attention.shape.valueWidth, by: norm)
        }
        let parts = attention.cacheLayers.count
        for (part, layer) in attention.cacheLayers.enumerated() {
            var first = 0
            for chunk in wave.chunks {
                let rows = part * tokens + first
                try attend(
                    chunk, rows..<rows + chunk.tokens.count, wave.rows.lowerBound + first,
                    attention, layer: layer)
                first += chunk.tokens.count
            }
        }
        if parts > 1 {
            executor.join(
                parts: parts, tokens: tokens, width: attention.shape.attendedWidth / parts,
                of: &attended.floats, through: &query)
        }
        if let latent = attention.latent {
            workspace.enter(.mixerOutput)
            try finish(latent, attention, tokens: tokens, &residual)
        } else {
            try finish(attention, tokens: tokens, &residual)
        }
    }

    /// Queries, keys and values, and the gates of what is summed of these.
    private func project(
        _ attention: LayerGraph.Attention, tokens: Int, _ residual: borrowing ResidualStream
    ) throws(ReadFailure) {
        let parts = attention.cacheLayers.count
        try products.collect(
            attention.query, parts: parts, by: residual.normed, tokens: tokens, into: &query)
        if let matrix = attention.key {
            try products.collect(
                matrix, parts: parts, by: residual.normed, tokens: tokens, into: &key)
        }
        if let matrix = attention.value {
            try products.collect(
                matrix, parts: parts, by: residual.normed, tokens: tokens, into: &value)
        }
        if let gate = attention.gate {
            try products.collect(gate, by: residual.normed, tokens: tokens, into: &gates)
        }
        products.computeCollected()
        if attention.key != nil && attention.value == nil {
            executor.copy(key, count: tokens * attention.shape.keyWidth, to: &value)
        }
    }

    /// Gates what was summed of values, and projects it back.
    private func finish(
        _ attention: LayerGraph.Attention, tokens: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        executor.gate(
            &attended.floats, by: &gates, attention.shape.outputGate,
            heads: tokens * attention.shape.headCount, width: attention.shape.valueHeadWidth)
        executor.prepare(&attended, rows: tokens, columns: attention.shape.attendedWidth)
        workspace.enter(.mixerOutput)
        try products.multiply(
            attention.output, by: attended, tokens: tokens, into: &residual.projected)
        executor.addBias(attention.outputBias, tokens: tokens, to: &residual.projected)
    }

    /// A chunk, whose rows are `tokens` of the wave and those from `firstRow` on of the step: keys
    /// and values go to their pages, unless they are an earlier layer's, which is where those are;
    /// queries read them.
    private func attend(
        _ chunk: SequenceChunk, _ tokens: Range<Int>, _ firstRow: Int,
        _ attention: LayerGraph.Attention, layer: Int
    ) throws(ReadFailure) {
        let (start, waited) = (MonotonicClock.nanoseconds, cache.coldStatistics.waitNanoseconds)
        let first = chunk.firstPosition
        let all = first..<first + tokens.count
        if attention.key != nil {
            try cache.prepare(chunk.sequence, layer: layer, positions: all)
        }
        let shape = AttentionShape(attention, format: cache.layout.format)
            .part(of: attention.cacheLayers.count)
        let pageOffsets = cache.pageOffsets(chunk.sequence, layer: layer)
        let positionOffset = cache.positionOffset(chunk.sequence)
        func rows(_ positions: Range<Int>) -> ChunkRows {
            let done = positions.lowerBound - first
            return ChunkRows(
                tokens: tokens.lowerBound + done..<tokens.lowerBound + done + positions.count,
                firstAngle: angles.place(rope: attention.rope, token: firstRow + done),
                firstPosition: positions.lowerBound, positionOffset: positionOffset,
                pool: cache.pool.arena,
                pageOffsets: pageOffsets,
                openPage: cache.openPage(
                    chunk.sequence, layer: layer, position: positions.lowerBound))
        }
        let coldSpans = cache.coldSpanCount(chunk.sequence, layer: layer)
        if let most = chooses(chunk, layer: layer) {
            try attendToChosen(
                chunk, layer: layer, shape, attention, rows(all), pagesMax: most)
        } else if coldSpans > 0 {
            try attendToFlash(chunk.sequence, layer: layer, shape, attention, rows(all))
        }
        for positions in cache.pieces(of: all) {
            attend(rows(positions), shape, attention, after: coldSpans)
        }
        gather(chunk, tokens, shape, layer: layer)
        choose(chunk, tokens, shape, layer: layer)
        executor.count(since: start + cache.coldStatistics.waitNanoseconds - waited)
    }

    /// Tokens of one piece, over all spans but those that were on flash.
    private func attend(
        _ rows: ChunkRows, _ shape: AttentionShape, _ attention: LayerGraph.Attention,
        after coldSpans: Int
    ) {
        executor.finishHeads(
            shape, attention.treatment, rows,
            attention.key == nil ? .queries : coldSpans > 0 ? .keysAndValues : .all,
            query: &query, key: &key, value: &value, angles: angles.rows)
        if coldSpans > 0 {
            executor.attend(
                shape, spans: SpanRange(first: coldSpans, end: nil), rows, queries: query,
                latent.queries, states: &states, into: &attended.floats)
        } else {
            executor.attend(
                shape, rows, queries: query, latent.queries, partials: &partials,
                into: &attended.floats)
        }
        if attention.key != nil { executor.seal(shape, rows) }
    }

    /// A chunk's queries, over the spans that are on flash: in order, some in memory at a time. The
    /// next ones are read meanwhile, and those of the next layer while this one is finished.
    private func attendToFlash(
        _ sequence: SequenceID, layer: Int, _ shape: AttentionShape,
        _ attention: LayerGraph.Attention, _ rows: ChunkRows
    ) throws(ReadFailure) {
        executor.finishHeads(
            shape, attention.treatment, rows, .queries, query: &query, key: &key, value: &value,
            angles: angles.rows)
        let groups = cache.coldGroups(sequence, layer: layer)
        for (index, group) in groups.enumerated() {
            let next =
                index + 1 < groups.count
                ? groups[index + 1] : cache.firstColdGroup(sequence, after: layer)
            var rows = rows
            rows.openPage = nil
            rows.pageOffsets = try cache.pageOffsets(of: group, before: next)
            executor.attend(
                shape,
                spans: SpanRange(first: group.spans.lowerBound, end: group.spans.upperBound),
                rows, queries: query, latent.queries, states: &states, into: &attended.floats)
        }
    }
}
