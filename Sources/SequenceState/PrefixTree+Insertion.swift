// How blocks come into the tree, get pages and slots, and lend pages back.

package import ModelFormat

/// What became of an insertion.
package struct PrefixInsertion: Sendable, Equatable {
    package let node: NodeID
    /// Whether there was no such block before.
    package let isNew: Bool
    /// For each layer the page that the tree did not take, because it has one of the same tokens;
    /// -1 where it took the page or there was none.
    package let surplus: [Int32]
}

/// A block that the file holds.
package struct StoredBlock: Sendable, Equatable {
    package let slot: SlotID
    package let block: PrefixBlock
    /// Grows with every block that is saved.
    package let stamp: UInt64

    package init(slot: SlotID, block: PrefixBlock, stamp: UInt64) {
        self.slot = slot
        self.block = block
        self.stamp = stamp
    }
}

extension PrefixTree {
    /// Adds the block that follows `parent` in a sequence, and takes its pages. Where there is such
    /// a block already, takes only what that one lacks.
    ///
    /// - Parameters:
    ///   - parent: nil where the sequence begins. In memory.
    ///   - pages: one for each layer, -1 where the block has none.
    /// - Returns: nil when there are as many blocks as there may be: free one, or keep the pages.
    package mutating func insert(
        _ tokens: Span<TokenID>, after parent: NodeID?, owner: PrefixOwner, pages: [Int32]
    ) -> PrefixInsertion? {
        precondition(pages.count == limits.layerCount, "a block has a page for each layer, or -1")
        precondition(parent.map { checked($0).isInMemory } ?? true, "the parent's pages are gone")
        let owner = seen(owner)
        let above = parent?.rawValue ?? Node.none
        precondition(
            mayPrecedeAny(above) || nodes[Int(above)].owner == owner, "another one's prefix")
        let visible = mayPrecedeAny(above) ? [owner, .everyone] : [owner]
        for whose in visible {
            guard let number = child(of: above, owner: whose, tokens: tokens) else { continue }
            return PrefixInsertion(
                node: NodeID(rawValue: number), isNew: false, surplus: take(pages, into: number))
        }
        let digest = PrefixBlock.digest(of: tokens, owner: owner, parent: digest(of: above))
        guard let number = add(digest, tokens, owner: owner, parent: above) else { return nil }
        let surplus = take(pages, into: number)
        return PrefixInsertion(node: NodeID(rawValue: number), isNew: true, surplus: surplus)
    }

    /// Gives a block that is on flash alone its pages: they were restored.
    ///
    /// - Precondition: its parent is in memory.
    package mutating func attach(pages: [Int32], to node: NodeID) {
        precondition(pages.count == limits.layerCount, "a block has a page for each layer, or -1")
        let found = checked(node)
        precondition(!found.isInMemory, "the block has pages")
        precondition(
            found.parent == Node.none || nodes[Int(found.parent)].isInMemory,
            "blocks are restored from the beginning of a sequence")
        _ = take(pages, into: node.rawValue)
    }

    /// Says where on flash a block is now.
    ///
    /// - Precondition: it is in memory, and in no other slot; no other block has the slot.
    package mutating func attach(slot: SlotID, to node: NodeID) {
        let found = checked(node)
        precondition(found.slot == Node.none && found.isInMemory, "a block has one slot")
        give(slot, to: node.rawValue)
        // Its ancestors' slots are to outlive it.
        for number in chain(node.rawValue)
        where nodes[Int(number)].pins == 0 && nodes[Int(number)].slot != Node.none {
            onFlash.append(number)
        }
    }

    /// Adds what a file holds, parents before their children.
    ///
    /// - Returns: the slots of those that have no place here: others' that nobody could find, or
    ///   more than there may be.
    package mutating func adopt(_ blocks: [StoredBlock]) -> [SlotID] {
        var adopted: [(stamp: UInt64, number: Int32)] = []
        var refused: [SlotID] = []
        for stored in blocks {
            if let number = adopt(stored) {
                adopted.append((stored.stamp, number))
            } else {
                refused.append(stored.slot)
            }
        }
        for (_, number) in adopted.sorted(by: { $0.stamp < $1.stamp }) { touch(number) }
        return refused
    }

    private mutating func adopt(_ stored: StoredBlock) -> Int32? {
        let block = stored.block
        guard (block.owner == .anyUser) == limits.isSharedAmongUsers else { return nil }
        var parent = Node.none
        if block.parent != .none {
            guard let found = byDigest[block.parent] else { return nil }
            parent = found
        }
        guard mayPrecedeAny(parent) || nodes[Int(parent)].owner == block.owner else { return nil }
        let span = block.tokens.span
        guard
            let number = child(of: parent, owner: block.owner, tokens: span)
                ?? add(block.digest, span, owner: block.owner, parent: parent),
            nodes[Int(number)].slot == Node.none
        else { return nil }
        give(stored.slot, to: number)
        return number
    }

    private mutating func give(_ slot: SlotID, to number: Int32) {
        let old = bySlot.updateValue(number, forKey: slot.rawValue)
        precondition(old == nil, "two blocks in one slot")
        nodes[Int(number)].slot = slot.rawValue
    }

    /// - Returns: what the node had already.
    private mutating func take(_ offered: [Int32], into number: Int32) -> [Int32] {
        var surplus = [Int32](repeating: Self.noPage, count: offered.count)
        let start = pageRange(number).lowerBound
        for (layer, page) in offered.enumerated() where page != Self.noPage {
            if pages[start + layer] == Self.noPage {
                pages[start + layer] = page
            } else {
                surplus[layer] = page
            }
        }
        nodes[Int(number)].isInMemory = true
        touch(number)
        return surplus
    }

    /// A node with neither pages nor a slot; nil when there may be no more.
    private mutating func add(
        _ digest: Digest256, _ block: Span<TokenID>, owner: PrefixOwner, parent: Int32
    ) -> Int32? {
        // Two texts of one digest have never been seen; the second one would not be kept.
        guard nodeCount < limits.nodesMax, byDigest[digest] == nil else { return nil }
        let number = freeNodes.popLast() ?? grow(digest, owner)
        nodes[Int(number)] = Node(digest: digest, owner: owner)
        let start = tokenRange(number).lowerBound
        for index in 0..<block.count { tokens[start + index] = block[index] }
        byDigest[digest] = number
        guard parent != Node.none else { return number }
        nodes[Int(number)].parent = parent
        let first = nodes[Int(parent)].firstChild
        nodes[Int(number)].laterSibling = first
        if first != Node.none { nodes[Int(first)].earlierSibling = number }
        nodes[Int(parent)].firstChild = number
        return number
    }

    private mutating func grow(_ digest: Digest256, _ owner: PrefixOwner) -> Int32 {
        nodes.append(Node(digest: digest, owner: owner))
        tokens += repeatElement(TokenID(0), count: PrefixBlock.tokenCount)
        pages += repeatElement(Self.noPage, count: limits.layerCount)
        inMemory.grow()
        onFlash.grow()
        return Int32(nodes.count - 1)
    }
}
