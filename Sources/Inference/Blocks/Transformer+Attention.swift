// Attention: project, norm, rotate, store keys and values in pages, attend, project back.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import SequenceState

extension Transformer {
    func attend(_ layer: LayerGraph, _ wave: Wave, _ activations: inout Activations)
        throws(ReadFailure)
    {
        let tokens = wave.tokenCount
        let attention = layer.attention
        if case .mixture(let mixture) = layer.feedForward, mixture.routesFirst {
            try routeFirst(mixture, layer, wave, &activations)
        }
        normalizeHidden(layer.mixerNorm, wave, &activations)
        try products.collect(
            attention.query, by: activations.normed, tokens: tokens, into: &activations.query)
        try products.collect(
            attention.key, by: activations.normed, tokens: tokens, into: &activations.key)
        try products.collect(
            attention.value, by: activations.normed, tokens: tokens, into: &activations.value)
        products.computeCollected()
        var first = 0
        for chunk in wave.chunks {
            attendChunk(
                chunk, first..<first + chunk.tokens.count, wave.rows.lowerBound + first, layer,
                &activations)
            first += chunk.tokens.count
        }
        executor.prepare(&activations.attended, rows: tokens, columns: shape.attendedWidth)
        try products.multiply(
            attention.output, by: activations.attended, tokens: tokens,
            into: &activations.projected)
        addBias(attention.outputBias, tokens: tokens, to: &activations.projected)
        finishProjected(
            layer.afterMixerNorm, layer.residualScale, tokens: tokens, &activations)
        activations.isProjectedDue = true
    }

    func addBias(_ bias: [Float]?, tokens: Int, to buffer: inout Buffer<Float>) {
        guard let bias else { return }
        var rows = buffer.mutableSpan
        executor.kernels.add(bias: bias.span, toRowsOf: &rows, rows: tokens)
    }

    /// A chunk, whose rows are `tokens` of the wave and those from `firstRow` on of the step: keys
    /// and values go to their pages, queries read them.
    private func attendChunk(
        _ chunk: SequenceChunk, _ tokens: Range<Int>, _ firstRow: Int, _ layer: LayerGraph,
        _ activations: inout Activations
    ) {
        let start = MonotonicClock.nanoseconds
        let attention = layer.attention
        let attentionShape = attentionShapes[layer.index]
        cache.prepare(
            chunk.sequence, layer: layer.index,
            positions: chunk.firstPosition..<chunk.firstPosition + chunk.tokens.count)
        let rows = ChunkRows(
            tokens: tokens,
            firstAngle: (attention.rope ?? 0) * shape.passTokensMax + firstRow,
            firstPosition: chunk.firstPosition,
            pageOffsets: cache.pageOffsets(chunk.sequence, layer: layer.index))
        executor.finishHeads(
            attentionShape, attention.treatment, rows, query: &activations.query,
            key: &activations.key, value: &activations.value, cosines: activations.cosines,
            sines: activations.sines, pool: cache.pool.arena)
        executor.attend(
            attentionShape, rows, queries: activations.query, pool: cache.pool.arena,
            partials: &activations.partials, into: &activations.attended.floats)
        executor.count(since: start)
    }
}
