// How a prompt gets back what is remembered of its beginning: whole blocks, read from flash where
// they are there alone, then the tail of the sequence that went on from them.

internal import LinuxSystem
internal import ModelFormat

extension PrefixCache {
    /// Gives `sequence`, which has nothing yet, the longest remembered prefix of `prompt` less its
    /// last token.
    func find(
        _ prompt: [TokenID], owner: PrefixOwner, into sequence: SequenceState,
        takingBy take: () -> PageID
    ) -> FoundPrefix {
        var found = FoundPrefix()
        guard !isSuspended, prompt.count > 1 else { return found }
        if layout.hasStates { return findState(prompt, owner: owner, into: sequence) }
        let usable = prompt.dropLast()
        var nodes = tree.match(prompt.span.extracting(usable.indices), owner: owner).nodes
        var tail = self.tail(of: usable, after: nodes, owner: owner)
        if reachable(nodes, to: nodes.count * PrefixBlock.tokenCount + tail.count) < nodes.count {
            tail = FoundTail()
        }
        trim(&nodes, tail)
        let inMemory = nodes.prefix { tree.pages(of: $0) != nil }.count
        if inMemory < nodes.count {
            // Fewer may come back, and a window needs all that it sees.
            nodes.removeLast(nodes.count - restore(nodes, from: inMemory, takingBy: take))
            trim(&nodes, tail)
        }
        found.tokenCount = nodes.count * PrefixBlock.tokenCount + tail.count
        guard found.tokenCount > 0 else { return found }
        found.source = nodes.count > inMemory ? .flash : .memory
        for (index, node) in nodes.enumerated() {
            lend(node, at: index, seenFrom: found.tokenCount, to: sequence)
        }
        hand(tail, at: nodes.count, to: sequence)
        return found
    }

    /// Drops the blocks that a sequence cannot go on from; none where a tail follows them.
    private func trim(_ nodes: inout [NodeID], _ tail: FoundTail) {
        guard tail.count == 0 else { return }
        let end = nodes.count * PrefixBlock.tokenCount
        nodes.removeLast(nodes.count - reachable(nodes, to: end))
    }

    /// Whether what goes on at `position` sees block `index` in a layer.
    private func isSeen(_ index: Int, from position: Int, layer: Int) -> Bool {
        index >= layout.firstPageSeen(from: position, layer: layer)
    }

    /// How many of the blocks a sequence can go on from: the most for which each layer with a
    /// window still has what is seen from there.
    ///
    /// - Parameter end: where it goes on if all of them can be used: after them, or after a tail.
    func reachable(_ nodes: [NodeID], to end: Int) -> Int {
        let windowed = layout.windows.indices.filter { layout.windows[$0] != nil }
        guard !windowed.isEmpty else { return nodes.count }
        let has = nodes.map { node in
            tree.pages(of: node).map { pages in pages.map { $0 != PrefixTree.noPage } }
                ?? tree.slot(of: node).flatMap { store?.hasPages($0) } ?? []
        }
        for count in stride(from: nodes.count, to: 0, by: -1) {
            let position = count == nodes.count ? end : count * PrefixBlock.tokenCount
            let isWhole = windowed.allSatisfy { layer in
                let first = layout.firstPageSeen(from: position, layer: layer)
                return (min(first, count)..<count).allSatisfy { has[$0][layer] }
            }
            if isWhole { return count }
        }
        return 0
    }

    /// Lets a sequence read a block's pages.
    func lend(
        _ node: NodeID, at index: Int, seenFrom position: Int, to sequence: SequenceState
    ) {
        guard let pages = tree.pages(of: node) else { preconditionFailure("no pages to lend") }
        for (layer, page) in pages.enumerated()
        where page != PrefixTree.noPage && isSeen(index, from: position, layer: layer) {
            pool.retain(page)
            sequence.put(page, at: index, layer: layer, in: pool)
        }
    }

    /// Reads blocks from the `first` on from flash, each with the pages that are seen from the end.
    ///
    /// - Returns: how many of `nodes` are in memory now.
    private func restore(
        _ nodes: [NodeID], from first: Int, takingBy take: () -> PageID
    ) -> Int {
        guard let store, let last = nodes.last else { return first }
        let end = nodes.count * PrefixBlock.tokenCount
        // Pages may have to be taken from others, not from these.
        tree.pin(last)
        let asked = nodes.indices.dropFirst(first).map { index -> (BlockRestore, [PageID]) in
            guard let slot = tree.slot(of: nodes[index]) else {
                preconditionFailure("a block that is nowhere")
            }
            let pages = store.hasPages(slot).enumerated().map { layer, isThere in
                isThere && isSeen(index, from: end, layer: layer)
                    ? take() : PrefixTree.noPage
            }
            let places = pages.map { $0 == PrefixTree.noPage ? nil : pool.offset(of: $0) }
            let block = tree.block(of: nodes[index])
            return (BlockRestore(slot: slot, block: block, pages: places), pages)
        }
        let outcome = store.restore(asked.map(\.0), into: pool.arena)
        tree.unpin(last)
        let restored = first + outcome.restoredCount
        for (index, (_, pages)) in zip(first..., asked) {
            if index < restored {
                tree.attach(pages: pages, to: nodes[index])
            } else {
                for page in pages where page != PrefixTree.noPage { pool.release(page) }
            }
        }
        if outcome.failure != nil { settle(tree.removeFromFlash(nodes[restored])) }
        return restored
    }
}
