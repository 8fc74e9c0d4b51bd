// Prompts that keep some of their tokens alone (SnapKV, arXiv 2404.14469): each head of a layer
// that sees all keeps its own, in order; layers with windows keep the last ones.

extension KVLayout {
    /// How many of `tokens` are kept where at least `kept` are to be: whole pages go.
    package static func gatheredTokens(kept: Int, of tokens: Int) -> Int {
        guard tokens > kept else { return tokens }
        return tokens - (tokens - kept) / pageTokens * pageTokens
    }
}

extension KVCache {
    /// Of a context of `tokens`, those that one sequence can have in memory at once.
    package func hotTokens(of tokens: Int) -> Int {
        layout.hotTokens(tokens, pages: pool.pageCount, summarizes: false)
    }

    /// Sees that a layer's pages of its first `tokens` places are the sequence's alone. Where no
    /// page is free for a copy, what is remembered of them is forgotten.
    package func ownPages(_ id: SequenceID, layer: Int, tokens: Int) {
        let sequence = state(id)
        for index in 0..<layout.wholePages(tokens) / KVLayout.pageTokens {
            while pool.freeCount == 0, let page = sequence.page(index, layer: layer),
                pool.isShared(page), prefixes?.evict() == true
            {}
            sequence.own(index, layer: layer, in: pool, takingBy: takePage)
        }
    }

    /// Gives up `pages` of a layer's pages: its last ones, whose tokens went to those before, or,
    /// where it has a window, its first ones.
    package func dropPages(_ id: SequenceID, layer: Int, pages: Int) {
        let sequence = state(id)
        guard seesAll(layer, tokens: sequence.tokensMax) else {
            return sequence.slide(
                pages: pages, layer: layer, keepsFirst: false, in: pool, takingBy: takePage)
        }
        sequence.keep(
            pages: 0..<sequence.offsets[layer].count - pages, layer: layer, in: pool)
        sequence.dropEmpty(pages: pages, layer: layer)
    }

    /// All layers have given up so many pages: what follows comes earlier.
    package func noteGathering(_ id: SequenceID, pages: Int) { state(id).noteSlide(pages: pages) }
}
