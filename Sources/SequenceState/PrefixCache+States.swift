// Prefixes of models whose layers have states: a sequence goes on where a state was kept, and
// nowhere else. A state is kept with what follows the last whole block, after a prompt and at the
// end; who goes on from it gets a copy.

internal import ModelFormat

extension PrefixCache {
    /// Keeps a state of a sequence: its own at the end, else the one that it kept before its last
    /// token.
    ///
    /// - Parameters:
    ///   - tokens: what is after `parent` of those that it is of, fewer than a block.
    ///   - pages: that they are in; nil where some are missing.
    ///   - isEnded: whether the sequence does not go on.
    func rememberState(
        _ tokens: ArraySlice<TokenID>, after parent: NodeID?, owner: PrefixOwner,
        of sequence: SequenceState, pages: [PageID]?, isEnded: Bool
    ) {
        // What is not a whole page is in a page of the sequence's own.
        guard let state = isEnded ? sequence.state : sequence.keptState,
            state.tokenCount == tokens.endIndex,
            tokens.isEmpty || !layout.format.takesWholePages,
            let pages, !pages.contains(PrefixTree.noPage)
        else { return }
        let digest = parent.map { tree.block(of: $0).digest } ?? .none
        let seen = tree.seen(owner)
        let known = tails.firstIndex {
            $0.owner == seen && $0.parent == digest && $0.tokens[...] == tokens
        }
        if let known { return tails.append(tails.remove(at: known)) }
        // A sequence that goes on writes to its pages.
        guard isEnded || pool.freeCount >= pages.count else { return }
        if isEnded { for page in pages { pool.retain(page) } }
        statePool.retain(state.page)
        tails.append(
            PrefixTail(
                owner: seen, parent: digest, tokens: Array(tokens),
                pages: isEnded ? pages : pages.compactMap { copy($0) }, state: state.page))
        if tails.count > tailsMax { release(tails.removeFirst()) }
    }

    private func copy(_ page: PageID) -> PageID? {
        guard let own = pool.take() else { return nil }
        pool.copy(page, to: own)
        return own
    }

    /// Gives up the state that was not used for longest, and what it follows on.
    ///
    /// - Returns: false where none is kept.
    func forgetState() -> Bool {
        guard !tails.isEmpty else { return false }
        release(tails.removeFirst())
        return true
    }

    /// Gives `sequence`, which has nothing yet, the state of the most of `prompt` less its last
    /// token, and the pages of all that it is of.
    func findState(
        _ prompt: [TokenID], owner: PrefixOwner, into sequence: SequenceState
    ) -> FoundPrefix {
        var found = FoundPrefix()
        let usable = prompt.dropLast()
        let nodes = tree.match(prompt.span.extracting(usable.indices), owner: owner).nodes
        guard let (index, blocks) = state(of: usable, after: nodes, owner: owner),
            let own = sequence.state
        else { return found }
        let tail = tails.remove(at: index)
        found.tokenCount = blocks * PrefixBlock.tokenCount + tail.tokens.count
        found.source = .memory
        for (index, node) in nodes.prefix(blocks).enumerated() {
            lend(node, at: index, seenFrom: found.tokenCount, to: sequence)
        }
        if let state = tail.state { statePool.copy(state, to: own.page) }
        sequence.state?.tokenCount = found.tokenCount
        let isKept = pool.freeCount >= tail.pages.count
        for (layer, page) in tail.pages.enumerated() {
            // What else is in them is written over.
            sequence.put((isKept ? copy(page) : nil) ?? page, at: blocks, layer: layer, in: pool)
        }
        if isKept {
            tails.append(tail)
        } else if let state = tail.state {
            statePool.release(state)
        }
        return found
    }

    /// The kept state of the most of `prompt`, and how many of `nodes` it follows.
    private func state(
        of prompt: ArraySlice<TokenID>, after nodes: [NodeID], owner: PrefixOwner
    ) -> (index: Int, blocks: Int)? {
        let seen = tree.seen(owner)
        let digests = [Digest256.none] + nodes.map { tree.block(of: $0).digest }
        var best: (index: Int, blocks: Int)?
        var mostTokens = 0
        for (index, tail) in tails.enumerated() where tail.owner == seen {
            guard let blocks = digests.firstIndex(of: tail.parent) else { continue }
            let start = blocks * PrefixBlock.tokenCount
            let tokens = start + tail.tokens.count
            guard tokens > mostTokens, prompt.dropFirst(start).starts(with: tail.tokens),
                reachable(Array(nodes.prefix(blocks)), to: tokens) == blocks
            else { continue }
            (best, mostTokens) = ((index, blocks), tokens)
        }
        return best
    }
}
