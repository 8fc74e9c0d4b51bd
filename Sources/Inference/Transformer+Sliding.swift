// Room in a sequence that is full: its oldest tokens give way, its first ones move along.

internal import Compute
internal import LinuxSystem
internal import ModelFormat
internal import SequenceState

extension Transformer {
    /// Makes room for a chunk of a sequence that was opened to slide, where there is none: its
    /// oldest pages give way, and the chunk comes earlier in its tables.
    ///
    /// - Parameter keepsSinks: whether the first page stays, and seems to lie before the rest;
    ///   without, to measure what it is good for.
    /// - Returns: by how many tokens the chunk, and what follows, comes earlier.
    package func makeRoom(for chunk: inout SequenceChunk, keepsSinks: Bool = true) -> Int {
        let end = chunk.firstPosition + chunk.tokens.count
        let excess = end - cache.tokensMax(chunk.sequence)
        guard excess > 0 else { return 0 }
        let pages = (excess + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        let moved = cache.slide(chunk.sequence, pages: pages, keepsFirst: keepsSinks)
        let distance = cache.positionOffset(chunk.sequence)
        var turns: [Int?: KeyTurn] = [:]
        for page in moved {
            guard let attention = graph.attention(cacheLayer: page.layer) else { continue }
            let known = attention.shape.normsRotated ? nil : turns[attention.rope]
            let turn = known ?? self.turn(attention, by: distance)
            turns[attention.rope] = turn
            executor.turnKeys(
                cache.layout.page(of: page.layer), turn, from: page.source, to: page.target,
                in: cache.pool.arena)
        }
        chunk.firstPosition -= pages * KVLayout.pageTokens
        return pages * KVLayout.pageTokens
    }

    private func turn(_ attention: LayerGraph.Attention, by distance: Int) -> KeyTurn {
        let table = angles.table(rope: attention.rope)
        return KeyTurn(
            angles: table?.angles(of: distance) ?? [], pairing: attention.treatment.pairing,
            weights: attention.shape.normsRotated ? attention.treatment.keyNorm : nil)
    }
}
