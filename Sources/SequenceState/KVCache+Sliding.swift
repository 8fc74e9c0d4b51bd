// Endless sequences (StreamingLLM, arXiv 2309.17453): when the pages that a sequence was promised
// are full, the oldest but for the first give way. Layers that see all keep their first page, the
// sinks of attention, moved along so that it lies right before the window; layers with windows of
// their own forget what these have left behind.

/// A layer's first page, as it was computed and where its copy goes that was moved along: bytes in
/// the pool.
package struct MovedPage: Sendable, Equatable {
    package let layer: Int
    package let source: Int
    package let target: Int
}

extension KVCache {
    /// The fewest tokens that a sequence keeps which slides: a page of sinks, one to give up, and
    /// one to fill.
    package static let slidingTokensMin = 3 * KVLayout.pageTokens

    /// The most tokens, up to `tokensMax`, that a sequence which slides can keep; nil where the
    /// least of them do not fit.
    package func slidingTokens(tokensMax: Int) -> Int? {
        let most = tokensMax / KVLayout.pageTokens
        // One page of each layer less leaves what the moved ones take; where a longer text would
        // be partly on flash, what slides is all in memory, and shorter.
        let least = Self.slidingTokensMin / KVLayout.pageTokens
        return stride(from: most, through: least, by: -1).lazy.map { $0 * KVLayout.pageTokens }
            .first { pageCount(tokens: $0, slides: true) <= pool.pageCount }
    }

    /// The most tokens of a step that such a sequence can take: what gives way to them is there.
    package static func slidingStepTokensMax(tokens: Int) -> Int {
        (tokens - KVLayout.pageTokens) / 2
    }

    /// Pages of a sequence of so many tokens.
    func pageCount(tokens: Int, slides: Bool) -> Int {
        layout.pageCount(tokens: tokens)
            + (slides ? layout.windows.indices.count { seesAll($0, tokens: tokens) } : 0)
    }

    /// Whether a layer sees all of so many tokens.
    package func seesAll(_ layer: Int, tokens: Int) -> Bool {
        layout.windows[layer].map { $0 >= tokens } ?? true
    }

    /// Places in its tables that a sequence has at most.
    package func tokensMax(_ id: SequenceID) -> Int { state(id).tokensMax }

    /// By how much positions are beyond places in the tables.
    package func positionOffset(_ id: SequenceID) -> Int { state(id).positionOffset }

    /// Gives up `pages` of the oldest pages of each layer, so that what follows moves up.
    ///
    /// - Parameter keepsFirst: whether layers that see all keep their first page.
    /// - Returns: the pages whose contents have yet to be moved along, by ``positionOffset(_:)``
    ///   from where they were computed.
    /// - Precondition: the sequence was opened to slide, and has more pages than it gives up.
    package func slide(_ id: SequenceID, pages: Int, keepsFirst: Bool) -> [MovedPage] {
        let sequence = state(id)
        var moved: [MovedPage] = []
        for layer in layout.windows.indices {
            let keepsFirst = keepsFirst && seesAll(layer, tokens: sequence.tokensMax)
            sequence.slide(
                pages: pages, layer: layer, keepsFirst: keepsFirst, in: pool,
                takingBy: takePage)
            if let first = sequence.firstPages[layer] {
                moved.append(
                    MovedPage(
                        layer: layer, source: pool.offset(of: first),
                        target: sequence.offsets[layer][0]))
            }
        }
        sequence.noteSlide(pages: pages)
        return moved
    }
}
