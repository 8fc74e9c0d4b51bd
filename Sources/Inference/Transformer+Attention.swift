// Attention: project, norm, rotate, store keys and values in pages, attend, project back.

internal import Kernels
internal import LinuxSystem
internal import ModelFormat
internal import WeightStore

extension Transformer {
    func attend(_ layer: LayerGraph, _ plan: StepPlan, _ activations: inout Activations)
        throws(ReadFailure)
    {
        let tokens = plan.tokenCount
        let attention = layer.attention
        normalizeHidden(attention.norm, tokens: tokens, &activations)
        try multiply(
            attention.query, by: activations.normed, tokens: tokens, into: &activations.query)
        try multiply(attention.key, by: activations.normed, tokens: tokens, into: &activations.key)
        try multiply(
            attention.value, by: activations.normed, tokens: tokens, into: &activations.value)
        addBias(attention.queryBias, tokens: tokens, to: &activations.query)
        addBias(attention.keyBias, tokens: tokens, to: &activations.key)
        addBias(attention.valueBias, tokens: tokens, to: &activations.value)
        normalizeHeads(attention, tokens: tokens, &activations)
        rotateHeads(tokens: tokens, &activations)
        var first = 0
        for chunk in plan.chunks {
            let offsets = cache.pageOffsets(chunk.sequence, layer: layer.index)
            storeKeysAndValues(
                chunk, firstToken: first, pageOffsets: offsets, &activations)
            attendChunk(
                chunk, firstToken: first, pageOffsets: offsets, queries: activations.query,
                into: &activations.attended.floats)
            first += chunk.tokens.count
        }
        kernels.prepare(
            &activations.attended, tokens: tokens, columns: shape.attendedWidth, team: team)
        try multiply(
            attention.output, by: activations.attended, tokens: tokens,
            into: &activations.projected)
        addBias(attention.outputBias, tokens: tokens, to: &activations.projected)
        addProjectedToHidden(tokens: tokens, &activations)
    }

    func addBias(_ bias: [Float]?, tokens: Int, to buffer: inout Buffer<Float>) {
        guard let bias else { return }
        var rows = buffer.mutableSpan
        kernels.add(bias: bias.span, toRowsOf: &rows, rows: tokens)
    }

    private func normalizeHeads(
        _ attention: LayerGraph.Attention, tokens: Int, _ activations: inout Activations
    ) {
        let epsilon = graph.hyperparameters.normEpsilon
        guard let queryNorm = attention.queryNorm, let keyNorm = attention.keyNorm else { return }
        kernels.normalize(
            &activations.query, elements: tokens * shape.queryWidth, weights: queryNorm,
            epsilon: epsilon)
        kernels.normalize(
            &activations.key, elements: tokens * shape.keyWidth, weights: keyNorm, epsilon: epsilon)
    }

    private func rotateHeads(tokens: Int, _ activations: inout Activations) {
        let model = graph.hyperparameters
        kernels.rotate(
            &activations.query, tokens: tokens, heads: model.headCount,
            headWidth: model.keyHeadWidth, rotatedWidth: model.rope.rotatedWidth,
            cosines: activations.cosines, sines: activations.sines,
            pairing: graph.family.rotaryPairing)
        kernels.rotate(
            &activations.key, tokens: tokens, heads: model.keyValueHeadCount,
            headWidth: model.keyHeadWidth, rotatedWidth: model.rope.rotatedWidth,
            cosines: activations.cosines, sines: activations.sines,
            pairing: graph.family.rotaryPairing)
    }

    private func storeKeysAndValues(
        _ chunk: SequenceChunk, firstToken: Int, pageOffsets: [Int],
        _ activations: inout Activations
    ) {
        let layout = cache.layout
        let pool = cache.pool
        for offset in chunk.tokens.indices {
            let position = chunk.firstPosition + offset
            var page = pool.mutableBytes(
                at: pageOffsets[position / KVLayout.pageTokens], byteCount: layout.pageBytes)
            let slot = position % KVLayout.pageTokens
            for head in 0..<layout.headCount {
                let index = (firstToken + offset) * layout.headCount + head
                kernels.store(
                    activations.key.span.extracting(
                        index * layout.keyHeadWidth..<(index + 1) * layout.keyHeadWidth),
                    as: layout.element, into: &page, at: layout.keyOffset(head: head, slot: slot))
                kernels.store(
                    activations.value.span.extracting(
                        index * layout.valueHeadWidth..<(index + 1) * layout.valueHeadWidth),
                    as: layout.element, into: &page, at: layout.valueOffset(head: head, slot: slot))
            }
        }
    }

    private func attendChunk(
        _ chunk: SequenceChunk, firstToken: Int, pageOffsets: [Int],
        queries: borrowing Buffer<Float>, into attended: inout Buffer<Float>
    ) {
        let start = MonotonicClock.nanoseconds
        let pool = cache.pool
        let count = chunk.tokens.count
        let end = firstToken + count
        var rows = attended.mutableSpan(
            in: firstToken * shape.attendedWidth..<end * shape.attendedWidth)
        kernels.attend(
            attentionShape,
            queries: queries.span.extracting(
                firstToken * shape.queryWidth..<end * shape.queryWidth),
            tokens: count, firstPosition: chunk.firstPosition,
            pool: pool.bytes(at: 0, byteCount: pool.byteCount), pageOffsets: pageOffsets.span,
            into: &rows, team: team)
        computeNanoseconds += MonotonicClock.nanoseconds - start
    }
}
