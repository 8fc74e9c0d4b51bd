// Prefixes of earlier sequences, found again: whole blocks by the tree, in memory and on flash, and
// of the latest sequences also what follows their last whole block. Whose pages are whose is the
// pool's to count; a prefix and any number of sequences may have the same ones.

internal import ModelFormat

/// How much of a prompt was remembered.
package struct FoundPrefix: Sendable, Equatable {
    package enum Source: Sendable { case memory, flash }

    /// Its first tokens, whose keys and values the sequence has now.
    package var tokenCount = 0
    /// Flash where any of them were read from there.
    package var source: Source?

    package init() {}
}

/// What is remembered, within the pages that nobody else was promised.
package final class PrefixCache {
    var tree: PrefixTree
    var store: PrefixStore?
    let pool: PagePool
    let statePool: PagePool
    let layout: KVLayout
    /// Blocks that may not be on flash yet, those before their followers.
    var unsaved: [UnsavedBlock] = []
    /// The latest last.
    var tails: [PrefixTail] = []
    /// The cache is in another format for now.
    var isSuspended = false

    static let tailsMax = 4

    /// States are what is kept of sequences that have any: as many as there is memory for.
    var tailsMax: Int { layout.hasStates ? layout.states.count : Self.tailsMax }

    /// A node, and the block that it was: nodes' numbers come again.
    struct UnsavedBlock {
        let node: NodeID
        let digest: Digest256
    }

    /// - Parameters:
    ///   - cache: whose pages and states they are.
    ///   - store: where blocks are kept on flash; nil keeps them in memory alone.
    ///   - blocks: what `store` holds already.
    /// - Precondition: nothing is kept on flash where layers have states, which are not.
    package init(
        of cache: KVCache, isSharedAmongUsers: Bool,
        store: PrefixStore? = nil, blocks: [StoredBlock] = []
    ) {
        (pool, statePool, layout) = (cache.pool, cache.statePool, cache.layout)
        precondition(!layout.hasStates || store == nil, "states are not kept on flash")
        self.store = store
        let limits = Self.limits(
            layout, pageCount: pool.pageCount, slotCount: store?.options.slotsMax ?? 0,
            isSharedAmongUsers: isSharedAmongUsers)
        tree = PrefixTree(limits)
        for slot in tree.adopt(blocks) { store?.free(slot) }
    }

    private static func limits(
        _ layout: KVLayout, pageCount: Int, slotCount: Int, isSharedAmongUsers: Bool
    ) -> PrefixTree.Limits {
        let layers = layout.ringPages.count
        return PrefixTree.Limits(
            layerCount: layers, nodesMax: pageCount / layers + slotCount + 1,
            isSharedAmongUsers: isSharedAmongUsers)
    }

    /// What the books of prefixes take at most, for a pool of `poolBytes` and a file.
    package static func bookBytes(
        _ layout: KVLayout, poolBytes: Int, store: PrefixStoreOptions?
    ) -> Int {
        let limits = limits(
            layout, pageCount: poolBytes / layout.pageBytes, slotCount: store?.slotsMax ?? 0,
            isSharedAmongUsers: true)
        return PrefixTree.byteCount(limits) + (store.map { PrefixStore.bookBytes($0) } ?? 0)
    }

    /// The file of prefixes of the packed file at `packed`.
    package static func path(of packed: String) -> String { packed + ".prefixes" }

    /// Whether one finds what the other left.
    func isShared(_ owner: PrefixOwner, with other: PrefixOwner) -> Bool {
        tree.seen(owner) == tree.seen(other)
    }

    // MARK: remembering

    /// Takes up the whole blocks of a sequence whose `tokens` are computed, and where it ends, or
    /// has a state, what follows them.
    func remember(
        _ tokens: [TokenID], owner: PrefixOwner, of sequence: SequenceState, isEnded: Bool
    ) {
        guard !isSuspended else { return }
        // Of a prompt's last token the logits are wanted: the state before it is what is of use.
        let tokens = layout.hasStates && !isEnded ? tokens.dropLast() : tokens
        let blocks = tokens.count / PrefixBlock.tokenCount
        var parent: NodeID?
        for index in 0..<blocks {
            let start = index * PrefixBlock.tokenCount
            let block = tokens.span.extracting(start..<start + PrefixBlock.tokenCount)
            guard let pages = pages(index, of: sequence),
                let node = insert(block, after: parent, owner: owner, pages: pages)
            else { return }
            parent = node
        }
        let rest = tokens[(blocks * PrefixBlock.tokenCount)...]
        let pages = rest.isEmpty ? [] : pages(blocks, of: sequence)
        if layout.hasStates {
            rememberState(
                rest, after: parent, owner: owner, of: sequence, pages: pages, isEnded: isEnded)
        } else if isEnded {
            rememberTail(rest, after: parent, owner: owner, pages: pages)
        }
    }

    /// A sequence's pages of one number, of each layer; -1 where a window has left it behind.
    ///
    /// - Returns: nil where a layer that sees all lacks it.
    private func pages(_ index: Int, of sequence: SequenceState) -> [PageID]? {
        var pages: [PageID] = []
        for (layer, window) in layout.windows.enumerated() {
            let page = sequence.page(index, layer: layer)
            if page == nil && window == nil { return nil }
            pages.append(page ?? PrefixTree.noPage)
        }
        return pages
    }

    /// - Returns: nil where there is no room for the block.
    private func insert(
        _ tokens: Span<TokenID>, after parent: NodeID?, owner: PrefixOwner, pages: [PageID]
    ) -> NodeID? {
        for page in pages where page != PrefixTree.noPage { pool.retain(page) }
        var insertion = tree.insert(tokens, after: parent, owner: owner, pages: pages)
        if insertion == nil, makeRoomForNode(), parent.map({ isInMemory($0) }) ?? true {
            insertion = tree.insert(tokens, after: parent, owner: owner, pages: pages)
        }
        let surplus = insertion?.surplus ?? pages
        for page in surplus where page != PrefixTree.noPage { pool.release(page) }
        guard let insertion else { return nil }
        if store != nil, tree.slot(of: insertion.node) == nil,
            unsaved.count < tree.limits.nodesMax
        {
            unsaved.append(
                UnsavedBlock(
                    node: insertion.node, digest: tree.block(of: insertion.node).digest))
        }
        return insertion.node
    }

    private func isInMemory(_ node: NodeID) -> Bool { tree.pages(of: node) != nil }

    private func makeRoomForNode() -> Bool {
        let before = tree.nodeCount
        if let eviction = tree.evictFromFlash() { settle(eviction) }
        if tree.nodeCount == before { _ = evict() }
        return tree.nodeCount < before
    }

    // MARK: forgetting

    /// Gives up the pages of the block that was not used for longest; writes it first if it is to
    /// be kept. They are free if no sequence has them.
    ///
    /// - Returns: false when there is nothing left to give up.
    func evict() -> Bool {
        if let node = tree.leastRecentInMemory {
            save(node)
            if let eviction = tree.evictFromMemory() { settle(eviction) }
            return true
        }
        guard !tails.isEmpty else { return false }
        release(tails.removeFirst())
        return true
    }

    /// Gives back what left the tree.
    func settle(_ eviction: PrefixEviction) {
        for page in eviction.pages { pool.release(page) }
        for slot in eviction.slots { store?.free(slot) }
    }

    /// Forgets what is in memory, and remembers nothing until the cache is in its own format again.
    func suspend(unless format: KVFormat) {
        while evict() {}
        isSuspended = format != layout.format
    }
}
