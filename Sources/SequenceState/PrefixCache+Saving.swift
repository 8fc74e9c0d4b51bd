// How blocks get to flash: one after the other while nobody wants to compute, and at the latest
// when their pages are needed.

internal import ModelFormat

extension PrefixCache {
    /// Begins to write the next block that is not on flash.
    ///
    /// - Returns: false when there is none.
    package func saveNext() -> Bool {
        guard !isSuspended, !unsaved.isEmpty else { return false }
        let next = unsaved.removeFirst()
        if tree.isThere(next.node, next.digest) { save(next.node) }
        return true
    }

    /// Waits for what is on its way to flash: before the engine sleeps, and before the file is let
    /// go.
    package func finishSaving() { settleSaves(waiting: true) }

    /// Takes in what became of saves.
    private func settleSaves(waiting: Bool) {
        for slot in store?.collect(waiting: waiting) ?? [] {
            guard let node = tree.node(in: slot) else { continue }
            settle(tree.removeFromFlash(node))
        }
    }

    /// Begins to write a block that is in memory, where that is of any use: all before it are on
    /// flash. Takes the slot of what was not used for longest if there is no other.
    func save(_ node: NodeID) {
        guard let store, store.isOn else { return }
        settleSaves(waiting: false)
        guard tree.pages(of: node) != nil, tree.slot(of: node) == nil,
            tree.parent(of: node).map({ tree.slot(of: $0) != nil }) ?? true
        else { return }
        tree.pin(node)
        if !store.hasFreeSlot, let eviction = tree.evictFromFlash() { settle(eviction) }
        tree.unpin(node)
        guard let pages = tree.pages(of: node) else { return }
        let places = pages.map { $0 == PrefixTree.noPage ? nil : pool.offset(of: $0) }
        guard let slot = store.save(tree.block(of: node), pages: places, from: pool.arena) else {
            return
        }
        tree.attach(slot: slot, to: node)
    }
}
