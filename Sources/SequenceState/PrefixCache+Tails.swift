// What follows the last whole block of the latest sequences: a chat's next turn begins like the one
// before to the last token, and not only to a multiple of 64.

internal import ModelFormat

/// A page of each layer that is not full; where layers have states, the state after it.
struct PrefixTail {
    let owner: PrefixOwner
    /// What they follow.
    let parent: Digest256
    let tokens: [TokenID]
    /// One for each layer; none for no tokens.
    let pages: [PageID]
    /// Nil where no layer has one.
    var state: PageID?
}

/// A tail that was found, and how many of its tokens are wanted; none for 0.
struct FoundTail {
    var index = 0
    var count = 0
}

extension PrefixCache {
    /// Keeps the pages of `tokens`, fewer than a block, which follow `parent`.
    func rememberTail(
        _ tokens: ArraySlice<TokenID>, after parent: NodeID?, owner: PrefixOwner,
        pages: [PageID]?
    ) {
        // What is not a whole page is in a page of the sequence's own.
        guard !tokens.isEmpty, !layout.format.takesWholePages, let pages,
            !pages.contains(PrefixTree.noPage)
        else { return }
        for page in pages { pool.retain(page) }
        let digest = parent.map { tree.block(of: $0).digest } ?? .none
        tails.append(
            PrefixTail(
                owner: tree.seen(owner), parent: digest, tokens: Array(tokens), pages: pages))
        if tails.count > tailsMax { release(tails.removeFirst()) }
    }

    /// The tail after `nodes`, all in memory, that has most of its beginning in common with what
    /// follows them in `prompt`.
    func tail(
        of prompt: ArraySlice<TokenID>, after nodes: [NodeID], owner: PrefixOwner
    ) -> FoundTail {
        var best = FoundTail()
        guard nodes.last.map({ tree.pages(of: $0) != nil }) ?? true else { return best }
        let digest = nodes.last.map { tree.block(of: $0).digest } ?? .none
        let (owner, rest) = (
            tree.seen(owner), prompt.dropFirst(nodes.count * PrefixBlock.tokenCount)
        )
        for (index, tail) in tails.enumerated()
        where tail.owner == owner && tail.parent == digest {
            let count = zip(tail.tokens, rest).prefix { $0 == $1 }.count
            if count > best.count { best = FoundTail(index: index, count: count) }
        }
        return best
    }

    /// Hands a sequence a tail's pages as its page `index`: what else is in them is written over.
    func hand(_ tail: FoundTail, at index: Int, to sequence: SequenceState) {
        guard tail.count > 0 else { return }
        for (layer, page) in tails.remove(at: tail.index).pages.enumerated() {
            sequence.put(page, at: index, layer: layer, in: pool)
        }
    }

    func release(_ tail: PrefixTail) {
        for page in tail.pages { pool.release(page) }
        if let state = tail.state { statePool.release(state) }
    }
}
