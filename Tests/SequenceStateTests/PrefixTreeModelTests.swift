// The tree against a plain table of paths that is searched whole.

import ModelFormat
import SequenceState
import TestSupport
import Testing

@Suite struct PrefixTreeModelTests {
    @Test func randomOperationsEqualAPlainTable() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<30 {
            var twins = TreeTwins(
                layers: Int.random(in: 1...3, using: &random),
                nodesMax: Int.random(in: 3...40, using: &random))
            for step in 0..<500 {
                twins.step(&random)
                if let difference = twins.difference(&random) {
                    Issue.record("seed \(seed), round \(round), step \(step): \(difference)")
                    return
                }
            }
        }
    }
}

/// A step of a path.
private struct Step: Hashable {
    let owner: PrefixOwner
    let kind: Int
}

private struct Entry {
    let path: [Step]
    let node: NodeID
    /// Nil is not in memory.
    var pages: [Int32]?
    var slot: Int32?
    /// By those who pinned it itself.
    var pins = 0
    /// When it was last used, and last moved among the slots.
    var used = 0
    var moved = 0
}

/// The tree and the table, given the same operations.
private struct TreeTwins {
    let layers: Int
    let nodesMax: Int
    var tree: PrefixTree
    var table: [[Step]: Entry] = [:]
    var clock = 0
    var pageCount: Int32 = 0
    var slotCount: Int32 = 0
    /// What an operation of the tree gave back that the table does not.
    var complaint: String?
    static let owners = [PrefixOwner.everyone, .user(1), .user(2)]

    init(layers: Int, nodesMax: Int) {
        self.layers = layers
        self.nodesMax = nodesMax
        tree = PrefixTree(.init(layerCount: layers, nodesMax: nodesMax))
    }

    mutating func step(_ random: inout SplitMix) {
        let entry = table.values.sorted { $0.node.rawValue < $1.node.rawValue }
            .randomElement(using: &random)
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<5: insert(&random)
        case 5: _ = match(&random)
        case 6: if let entry { pin(entry) }
        case 7, 8: unpin(&random)
        case 9: evictFromMemory()
        case 10: evictFromFlash()
        case 11, 12: if let entry { attachSlot(entry) }
        case 13: if let entry { attachPages(entry) }
        default: if let entry, Int.random(in: 0..<3, using: &random) == 0 { damage(entry) }
        }
    }

    // MARK: the table

    func isPinned(_ path: [Step]) -> Bool {
        table.values.contains { $0.pins > 0 && $0.path.starts(with: path) }
    }

    /// A path's own entry and those of what it follows, the deepest first.
    func chain(_ path: [Step]) -> [[Step]] {
        (1...path.count).reversed().map { Array(path[..<$0]) }
    }

    mutating func touch(_ path: [Step]) {
        clock += 1
        for above in chain(path) where !isPinned(above) {
            table[above]?.used = clock
            table[above]?.moved = clock
        }
    }

    func ends(_ candidates: [Entry]) -> [Entry] {
        candidates.filter { one in
            !isPinned(one.path)
                && !candidates.contains { $0.path != one.path && $0.path.starts(with: one.path) }
        }
    }

    mutating func remove(_ path: [Step]) -> (nodes: Set<NodeID>, slots: Set<Int32>) {
        let gone = table.values.filter { $0.path.starts(with: path) }
        for entry in gone { table[entry.path] = nil }
        return (Set(gone.map(\.node)), Set(gone.compactMap(\.slot)))
    }

    mutating func expect(_ isRight: Bool, _ what: @autoclosure () -> String) {
        if !isRight { complaint = complaint ?? what() }
    }

    // MARK: operations

    mutating func insert(_ random: inout SplitMix) {
        let parents = table.values.filter { $0.pages != nil && $0.path.count < 5 }
            .sorted { $0.node.rawValue < $1.node.rawValue }
        let isRoot = parents.isEmpty || Int.random(in: 0..<4, using: &random) == 0
        let parent = isRoot ? nil : parents.randomElement(using: &random)
        let above = parent?.path ?? []
        let last = above.last?.owner ?? .everyone
        let owner = last == .everyone ? Self.owners.randomElement(using: &random)! : last
        let kind = Int.random(in: 0..<3, using: &random)
        let pages = (0..<layers).map { _ in
            pageCount += 1
            return Int.random(in: 0..<4, using: &random) == 0 ? -1 : pageCount
        }
        let inserted = tree.insert(
            blockTokens(kind).span, after: parent?.node, owner: owner, pages: pages)
        let visible = last == .everyone ? [owner, .everyone] : [owner]
        for whose in visible {
            let path = above + [Step(owner: whose, kind: kind)]
            guard let old = table[path] else { continue }
            let held = old.pages ?? Array(repeating: -1, count: layers)
            let surplus = zip(held, pages).map { $0 == -1 ? -1 : $1 }
            expect(
                inserted?.node == old.node && inserted?.isNew == false
                    && inserted?.surplus == surplus, "insertion of an equal block")
            table[path]?.pages = zip(held, pages).map { $0 == -1 ? $1 : $0 }
            return touch(path)
        }
        guard table.count < nodesMax else {
            return expect(inserted == nil, "more nodes than there may be")
        }
        guard let inserted, inserted.isNew else { return expect(false, "no insertion") }
        let path = above + [Step(owner: owner, kind: kind)]
        table[path] = Entry(path: path, node: inserted.node, pages: pages)
        touch(path)
    }

    /// Whether the tree's match is as long as the table's and is one of its paths.
    mutating func match(_ random: inout SplitMix) -> Bool {
        let kinds = (0..<Int.random(in: 0...6, using: &random)).map { _ in
            Int.random(in: 0..<3, using: &random)
        }
        let owner = Self.owners.randomElement(using: &random)!
        let visible = table.keys.filter { path in
            path.count <= kinds.count && path.map(\.kind) == Array(kinds[..<path.count])
                && path.allSatisfy { $0.owner == .everyone || $0.owner == owner }
        }
        let longest = visible.map(\.count).max() ?? 0
        let tail = (0..<Int.random(in: 0..<64, using: &random)).map { TokenID($0) }
        let match = tree.match((sequence(kinds) + tail).span, owner: owner)
        guard match.nodes.count == longest else { return false }
        guard longest > 0 else { return true }
        guard let path = visible.first(where: { table[$0]?.node == match.nodes.last }),
            path.count == longest,
            match.nodes == chain(path).reversed().compactMap({ table[$0]?.node })
        else { return false }
        touch(path)
        return true
    }

    mutating func pin(_ entry: Entry) {
        tree.pin(entry.node)
        table[entry.path]?.pins += 1
    }

    mutating func unpin(_ random: inout SplitMix) {
        let pinned = table.values.filter { $0.pins > 0 }.sorted {
            $0.node.rawValue < $1.node.rawValue
        }
        guard let entry = pinned.randomElement(using: &random) else { return }
        tree.unpin(entry.node)
        table[entry.path]?.pins -= 1
        touch(entry.path)
    }

    mutating func evictFromMemory() {
        let eviction = tree.evictFromMemory()
        let victim = ends(table.values.filter { $0.pages != nil }).min { $0.used < $1.used }
        expect(victim?.node == eviction?.node, "another block left memory")
        guard let victim, let eviction else { return }
        expect(eviction.pages == victim.pages?.filter { $0 != -1 }, "other pages came back")
        table[victim.path]?.pages = nil
        if victim.slot == nil {
            expectGone(victim.path, eviction)
        } else {
            expect(eviction.gone.isEmpty && eviction.slots.isEmpty, "more left memory")
        }
    }

    mutating func evictFromFlash() {
        let eviction = tree.evictFromFlash()
        let victim = ends(table.values.filter { $0.slot != nil }).min { $0.moved < $1.moved }
        expect(victim?.node == eviction?.node, "another block left flash")
        guard let victim, let eviction else { return }
        leftFlash(victim, eviction)
    }

    mutating func damage(_ entry: Entry) {
        guard entry.slot != nil, entry.pages != nil || !isPinned(entry.path) else { return }
        leftFlash(entry, tree.removeFromFlash(entry.node))
    }

    mutating func leftFlash(_ entry: Entry, _ eviction: PrefixEviction) {
        expect(eviction.pages.isEmpty, "pages left flash")
        guard entry.pages != nil else { return expectGone(entry.path, eviction) }
        expect(
            eviction.gone.isEmpty && eviction.slots.map(\.rawValue) == [entry.slot],
            "another slot came back")
        table[entry.path]?.slot = nil
    }

    mutating func expectGone(_ path: [Step], _ eviction: PrefixEviction) {
        let (nodes, slots) = remove(path)
        expect(Set(eviction.gone) == nodes && eviction.gone.count == nodes.count, "others gone")
        expect(
            Set(eviction.slots.map(\.rawValue)) == slots && eviction.slots.count == slots.count,
            "other slots came back")
    }

    mutating func attachSlot(_ entry: Entry) {
        guard entry.pages != nil, entry.slot == nil else { return }
        slotCount += 1
        tree.attach(slot: SlotID(rawValue: slotCount), to: entry.node)
        table[entry.path]?.slot = slotCount
        clock += 1
        for above in chain(entry.path) where !isPinned(above) { table[above]?.moved = clock }
    }

    mutating func attachPages(_ entry: Entry) {
        let above = Array(entry.path.dropLast())
        guard entry.pages == nil, above.isEmpty || table[above]?.pages != nil else { return }
        let pages = (0..<layers).map { pageCount + Int32($0) + 1 }
        pageCount += Int32(layers)
        tree.attach(pages: pages, to: entry.node)
        table[entry.path]?.pages = pages
        touch(entry.path)
    }

    // MARK: comparing

    mutating func difference(_ random: inout SplitMix) -> String? {
        if let complaint { return complaint }
        if tree.nodeCount != table.count { return "\(tree.nodeCount) nodes, not \(table.count)" }
        for entry in table.values {
            if tree.pages(of: entry.node).map(Array.init) != entry.pages { return "other pages" }
            if tree.slot(of: entry.node)?.rawValue != entry.slot { return "another slot" }
            if let slot = entry.slot, tree.node(in: SlotID(rawValue: slot)) != entry.node {
                return "another block in a slot"
            }
            if tree.isPinned(entry.node) != isPinned(entry.path) { return "pinned otherwise" }
            let block = tree.block(of: entry.node)
            let last = entry.path.last
            if block.owner != last?.owner || block.tokens.last?.index != last?.kind {
                return "other tokens"
            }
        }
        return match(&random) ? nil : "another match"
    }
}
