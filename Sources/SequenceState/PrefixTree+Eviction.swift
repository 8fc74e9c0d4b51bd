// How blocks leave memory, flash, and the tree.

/// What a block that left memory, or flash, gave back.
package struct PrefixEviction: Sendable, Equatable {
    package let node: NodeID
    /// The pages that the caller now owns.
    package var pages: [Int32] = []
    /// Slots that hold nothing any more.
    package var slots: [SlotID] = []
    /// The nodes that are gone: the block itself and its descendants, or none.
    package var gone: [NodeID] = []
}

extension PrefixTree {
    /// The block whose memory is to be freed next: the least recently used that nobody uses. No
    /// child of it is in memory. Save it first if it is to be kept.
    package var leastRecentInMemory: NodeID? { inMemory.first.map { NodeID(rawValue: $0) } }

    /// The block whose slot is to be freed next. No child of it is on flash.
    package var leastRecentOnFlash: NodeID? { onFlash.first.map { NodeID(rawValue: $0) } }

    /// Takes the pages of ``leastRecentInMemory``. It stays if it is on flash, else it is gone, and
    /// what follows it on flash with it.
    package mutating func evictFromMemory() -> PrefixEviction? {
        guard let number = inMemory.first else { return nil }
        inMemory.remove(number)
        var eviction = PrefixEviction(node: NodeID(rawValue: number))
        eviction.pages = pages[pageRange(number)].filter { $0 != Self.noPage }
        for index in pageRange(number) { pages[index] = Self.noPage }
        nodes[Int(number)].isInMemory = false
        if nodes[Int(number)].slot == Node.none { remove(number, &eviction) }
        return eviction
    }

    /// Takes the slot of ``leastRecentOnFlash``. It stays if it is in memory, else it is gone.
    package mutating func evictFromFlash() -> PrefixEviction? {
        guard let number = onFlash.first else { return nil }
        return removeFromFlash(NodeID(rawValue: number))
    }

    /// Takes the slot of a block that could not be saved or restored. It stays if it is in memory,
    /// else it is gone with all that follow it. The slot is among those given back.
    ///
    /// - Precondition: it has a slot, and is in memory or not pinned.
    package mutating func removeFromFlash(_ node: NodeID) -> PrefixEviction {
        let found = checked(node)
        precondition(found.slot != Node.none, "the block has no slot")
        precondition(found.isInMemory || found.pins == 0, "the block is used")
        var eviction = PrefixEviction(node: node)
        if found.isInMemory {
            releaseSlot(node.rawValue, &eviction)
        } else {
            remove(node.rawValue, &eviction)
        }
        return eviction
    }

    private mutating func releaseSlot(_ number: Int32, _ eviction: inout PrefixEviction) {
        let slot = nodes[Int(number)].slot
        guard slot != Node.none else { return }
        eviction.slots.append(SlotID(rawValue: slot))
        nodes[Int(number)].slot = Node.none
        bySlot[slot] = nil
        onFlash.remove(number)
    }

    /// Takes a node out with its descendants, none of which is in memory.
    private mutating func remove(_ top: Int32, _ eviction: inout PrefixEviction) {
        unlink(top)
        var open = [top]
        while let number = open.popLast() {
            var child = nodes[Int(number)].firstChild
            while child != Node.none {
                open.append(child)
                child = nodes[Int(child)].laterSibling
            }
            let node = nodes[Int(number)]
            precondition(!node.isInMemory && node.pins == 0, "what follows a block outlived it")
            releaseSlot(number, &eviction)
            byDigest[node.digest] = nil
            freeNodes.append(number)
            eviction.gone.append(NodeID(rawValue: number))
        }
    }

    /// Takes a node out of its parent's children.
    private mutating func unlink(_ number: Int32) {
        let node = nodes[Int(number)]
        if node.earlierSibling != Node.none {
            nodes[Int(node.earlierSibling)].laterSibling = node.laterSibling
        } else if node.parent != Node.none {
            nodes[Int(node.parent)].firstChild = node.laterSibling
        }
        if node.laterSibling != Node.none {
            nodes[Int(node.laterSibling)].earlierSibling = node.earlierSibling
        }
    }
}
