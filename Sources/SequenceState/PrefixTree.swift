// The prefixes that can be found again: a radix tree over token ids with a node for each full
// block of 64 tokens. A pure book: it knows of pages and slots by number, and neither reads nor
// frees any.
//
// What always holds:
// - A node in memory has all its ancestors in memory. A node on flash has each ancestor in memory
//   or on flash. A node that is neither is gone, with its descendants.
// - Who uses a node uses its ancestors: those are always used more recently. So the least recently
//   used of those in memory has no child in memory, and of those on flash none on flash.
// - A node is pinned as often as it and its descendants are.

package import ModelFormat

package struct PrefixTree {
    package struct Limits: Sendable {
        /// Pages of a block.
        package var layerCount: Int
        /// Blocks in memory or on flash.
        package var nodesMax: Int
        /// Whether each user finds what others had.
        package var isSharedAmongUsers = false

        package init(layerCount: Int, nodesMax: Int, isSharedAmongUsers: Bool = false) {
            precondition(layerCount > 0 && nodesMax > 0 && nodesMax < 1 << 30)
            self.layerCount = layerCount
            self.nodesMax = nodesMax
            self.isSharedAmongUsers = isSharedAmongUsers
        }
    }

    struct Node {
        static let none: Int32 = -1

        var digest: Digest256
        var owner: PrefixOwner
        var parent = none
        var firstChild = none
        var earlierSibling = none
        var laterSibling = none
        /// Of it and its descendants.
        var pins: Int32 = 0
        var slot = none
        var isInMemory = false
    }

    static let noPage: Int32 = -1

    package let limits: Limits
    var nodes: [Node] = []
    /// ``PrefixBlock/tokenCount`` for each node.
    var tokens: [TokenID] = []
    /// ``Limits/layerCount`` for each node.
    var pages: [Int32] = []
    var freeNodes: [Int32] = []
    var byDigest: [Digest256: Int32] = [:]
    var bySlot: [Int32: Int32] = [:]
    /// Those with pages, less the pinned.
    var inMemory = RecencyList()
    /// Those with a slot, less the pinned.
    var onFlash = RecencyList()

    package init(_ limits: Limits) { self.limits = limits }

    /// What the tree takes at most, for sums made in advance.
    package static func byteCount(_ limits: Limits) -> Int {
        // A dictionary is at least three eighths full, an array at least half.
        let entry = MemoryLayout<Digest256>.stride + 3 * MemoryLayout<Int32>.stride
        let node =
            MemoryLayout<Node>.stride + 4 * (PrefixBlock.tokenCount + limits.layerCount)
            + 4 * MemoryLayout<Int32>.stride
        return limits.nodesMax * (2 * node + 3 * entry)
    }

    /// Blocks in memory or on flash.
    package var nodeCount: Int { byDigest.count }

    // MARK: looking

    /// The pages of a block, one for each layer, -1 where it has none; nil when it is not in
    /// memory.
    package func pages(of node: NodeID) -> ArraySlice<Int32>? {
        checked(node).isInMemory ? pages[pageRange(node.rawValue)] : nil
    }

    package func slot(of node: NodeID) -> SlotID? {
        let slot = checked(node).slot
        return slot == Node.none ? nil : SlotID(rawValue: slot)
    }

    /// Whether a node is the block that it was.
    package func isThere(_ node: NodeID, _ digest: Digest256) -> Bool {
        byDigest[digest] == node.rawValue
    }

    /// The block that has a slot; nil where none has it any more.
    package func node(in slot: SlotID) -> NodeID? {
        bySlot[slot.rawValue].map { NodeID(rawValue: $0) }
    }

    /// What a block is: what the file keeps of it beside its pages.
    package func block(of node: NodeID) -> PrefixBlock {
        let found = checked(node)
        return PrefixBlock(
            tokens: Array(tokens[tokenRange(node.rawValue)]), owner: found.owner,
            parent: digest(of: found.parent), digest: found.digest)
    }

    package func parent(of node: NodeID) -> NodeID? {
        let parent = checked(node).parent
        return parent == Node.none ? nil : NodeID(rawValue: parent)
    }

    /// The longest chain of full blocks that `tokens` begin with, among those that `owner` may see.
    /// All of them are used now.
    package mutating func match(_ tokens: Span<TokenID>, owner: PrefixOwner) -> PrefixMatch {
        let owner = seen(owner)
        // What everyone may see and what the owner alone may see can both go on from the same
        // block, so that several nodes may be the same tokens.
        var ends = [Node.none]
        var count = 0
        while (count + 1) * PrefixBlock.tokenCount <= tokens.count {
            let start = count * PrefixBlock.tokenCount
            let block = tokens.extracting(start..<start + PrefixBlock.tokenCount)
            var next: [Int32] = []
            for end in ends { appendChildren(of: end, owner: owner, tokens: block, to: &next) }
            guard !next.isEmpty else { break }
            ends = next
            count += 1
        }
        let end = ends.first { $0 != Node.none && nodes[Int($0)].isInMemory } ?? ends[0]
        guard end != Node.none else { return PrefixMatch(nodes: []) }
        touch(end)
        return PrefixMatch(nodes: chain(end).reversed().map { NodeID(rawValue: $0) })
    }

    // MARK: using

    /// Keeps a block and all before it where they are, until ``unpin(_:)``. Calls add up.
    package mutating func pin(_ node: NodeID) {
        _ = checked(node)
        for number in chain(node.rawValue) {
            nodes[Int(number)].pins += 1
            inMemory.remove(number)
            onFlash.remove(number)
        }
    }

    /// Ends one ``pin(_:)``. The blocks were used until now.
    ///
    /// - Precondition: the node is pinned.
    package mutating func unpin(_ node: NodeID) {
        _ = checked(node)
        for number in chain(node.rawValue) {
            precondition(nodes[Int(number)].pins > 0, "a node that nobody pinned")
            nodes[Int(number)].pins -= 1
        }
        touch(node.rawValue)
    }

    package func isPinned(_ node: NodeID) -> Bool { checked(node).pins > 0 }

    // MARK: within

    func checked(_ node: NodeID) -> Node {
        let found = nodes[Int(node.rawValue)]
        precondition(found.isInMemory || found.slot != Node.none, "the node is gone")
        return found
    }

    func tokenRange(_ number: Int32) -> Range<Int> {
        Int(number) * PrefixBlock.tokenCount..<(Int(number) + 1) * PrefixBlock.tokenCount
    }

    func pageRange(_ number: Int32) -> Range<Int> {
        Int(number) * limits.layerCount..<(Int(number) + 1) * limits.layerCount
    }

    func digest(of number: Int32) -> Digest256 {
        number == Node.none ? .none : nodes[Int(number)].digest
    }

    /// The node and its ancestors, itself first.
    func chain(_ number: Int32) -> [Int32] {
        var chain: [Int32] = []
        var next = number
        while next != Node.none {
            chain.append(next)
            next = nodes[Int(next)].parent
        }
        return chain
    }

    /// Puts a node and its ancestors, these last, at the end of the lists that they belong to.
    mutating func touch(_ number: Int32) {
        for number in chain(number) where nodes[Int(number)].pins == 0 {
            if nodes[Int(number)].isInMemory { inMemory.append(number) }
            if nodes[Int(number)].slot != Node.none { onFlash.append(number) }
        }
    }

    /// Whose prefixes an owner's are.
    func seen(_ owner: PrefixOwner) -> PrefixOwner { limits.isSharedAmongUsers ? .anyUser : owner }

    private func appendChildren(
        of parent: Int32, owner: PrefixOwner, tokens: Span<TokenID>, to found: inout [Int32]
    ) {
        if let child = child(of: parent, owner: owner, tokens: tokens) { found.append(child) }
        guard owner != .everyone, !limits.isSharedAmongUsers, mayPrecedeAny(parent) else { return }
        if let child = child(of: parent, owner: .everyone, tokens: tokens) { found.append(child) }
    }

    /// Whether children of all owners may follow.
    func mayPrecedeAny(_ number: Int32) -> Bool {
        number == Node.none || nodes[Int(number)].owner == .everyone
    }

    /// The child with these tokens. The digest finds it; the tokens decide.
    func child(of parent: Int32, owner: PrefixOwner, tokens wanted: Span<TokenID>) -> Int32? {
        let digest = PrefixBlock.digest(of: wanted, owner: owner, parent: digest(of: parent))
        guard let number = byDigest[digest], nodes[Int(number)].parent == parent,
            nodes[Int(number)].owner == owner
        else { return nil }
        let start = tokenRange(number).lowerBound
        for index in 0..<wanted.count where tokens[start + index] != wanted[index] { return nil }
        return number
    }
}

/// What ``PrefixTree/match(_:owner:)`` found.
package struct PrefixMatch: Sendable, Equatable {
    /// The blocks, the sequence's first one first.
    package let nodes: [NodeID]

    /// Tokens of the blocks.
    package var tokenCount: Int { nodes.count * PrefixBlock.tokenCount }
}
