// What the tree finds, for whom, and in which order it gives back. Random operations against a
// plain model of it are in PrefixTreeModelTests.swift.

import ModelFormat
import SequenceState
import TestSupport
import Testing

/// 64 tokens that differ from others' in the last one alone.
func blockTokens(_ kind: Int) -> [TokenID] {
    (0..<PrefixBlock.tokenCount).map { TokenID($0 == PrefixBlock.tokenCount - 1 ? kind : $0) }
}

func sequence(_ kinds: [Int]) -> [TokenID] { kinds.flatMap { blockTokens($0) } }

extension PrefixTree {
    /// Inserts the blocks of a sequence, each with the page of its number, from `firstPage` on.
    @discardableResult
    mutating func insert(_ kinds: [Int], _ owner: PrefixOwner, firstPage: Int32) -> [NodeID] {
        var nodes: [NodeID] = []
        for (index, kind) in kinds.enumerated() {
            let pages = [firstPage + Int32(index)]
            let inserted = insert(
                blockTokens(kind).span, after: nodes.last, owner: owner, pages: pages)
            guard let inserted else { break }
            nodes.append(inserted.node)
        }
        return nodes
    }

    mutating func found(_ kinds: [Int], _ owner: PrefixOwner) -> [NodeID] {
        match(sequence(kinds).span, owner: owner).nodes
    }

    mutating func matched(_ kinds: [Int], _ owner: PrefixOwner) -> Int {
        found(kinds, owner).count
    }
}

@Suite struct PrefixTreeTests {
    private func tree(nodesMax: Int = 100, isShared: Bool = false) -> PrefixTree {
        PrefixTree(.init(layerCount: 1, nodesMax: nodesMax, isSharedAmongUsers: isShared))
    }

    @Test func theLongestChainOfFullBlocksIsFound() {
        var tree = tree()
        let nodes = tree.insert([1, 2, 3], .user(7), firstPage: 10)
        #expect(tree.found([1, 2, 3, 4], .user(7)) == nodes)
        #expect(tree.matched([1, 2, 4], .user(7)) == 2 && tree.matched([2, 1], .user(7)) == 0)
        let short = Array(sequence([1, 2]).dropLast())
        let match = tree.match(short.span, owner: .user(7))
        #expect(match.nodes == [nodes[0]] && match.tokenCount == 64)
        #expect(tree.matched([], .user(7)) == 0)
        #expect(nodes.map { tree.pages(of: $0).map(Array.init) } == [[10], [11], [12]])
        #expect(tree.parent(of: nodes[1]) == nodes[0] && tree.parent(of: nodes[0]) == nil)
        // A block in the middle of a sequence is not one at its beginning.
        #expect(tree.matched([2], .user(7)) == 0)
    }

    @Test func anotherUsersPrefixIsInvisible() {
        var tree = tree()
        tree.insert([1, 2], .user(7), firstPage: 10)
        #expect(tree.matched([1, 2], .user(8)) == 0 && tree.matched([1, 2], .everyone) == 0)
        let other = tree.insert([1, 2], .user(8), firstPage: 20)
        #expect(tree.nodeCount == 4 && tree.pages(of: other[1]).map(Array.init) == [21])
        // What everyone may see is found by all, and gone on from by each alone.
        let common = tree.insert([5, 6], .everyone, firstPage: 30)
        for user in [UInt32(7), 8] {
            #expect(tree.found([5, 6, 1], .user(user)) == common)
            let own = tree.insert(
                blockTokens(1).span, after: common[1], owner: .user(user), pages: [Int32(user)])
            #expect(own?.isNew == true)
            #expect(tree.matched([5, 6, 1], .user(user)) == 3)
        }
        #expect(tree.matched([5, 6, 1], .everyone) == 2)
    }

    /// The longer chain wins, whether the owner's or everyone's, and neither hides the other.
    @Test func ownAndCommonChainsAreBothFollowed() {
        var tree = tree()
        tree.insert([1, 2, 3], .user(7), firstPage: 10)
        tree.insert([1, 2], .everyone, firstPage: 20)
        tree.insert([1, 4, 5], .everyone, firstPage: 30)
        #expect(tree.matched([1, 2, 3], .user(7)) == 3 && tree.matched([1, 2, 3], .user(8)) == 2)
        #expect(tree.matched([1, 4, 5], .user(7)) == 3)
        // Where both are as long, the one in memory is taken.
        #expect(tree.nodeCount == 7)
    }

    @Test func usersShareWhereTheyAreToldTo() {
        var tree = tree(isShared: true)
        let nodes = tree.insert([1, 2], .user(7), firstPage: 10)
        #expect(tree.found([1, 2], .user(8)) == nodes)
        #expect(tree.found([1, 2], .everyone) == nodes)
        #expect(tree.block(of: nodes[0]).owner == .anyUser)
        #expect(tree.insert([1, 2], .user(8), firstPage: 20) == nodes && tree.nodeCount == 2)
    }

    @Test func anEqualBlockTakesOnlyWhatItLacks() throws {
        var tree = PrefixTree(.init(layerCount: 3, nodesMax: 10))
        let tokens = blockTokens(1)
        func insert(_ pages: [Int32]) throws -> PrefixInsertion {
            let inserted = tree.insert(
                tokens.span, after: nil, owner: .everyone, pages: pages)
            return try #require(inserted)
        }
        let first = try insert([1, -1, 3])
        #expect(first.isNew && first.surplus == [-1, -1, -1])
        let second = try insert([4, 5, -1])
        #expect(!second.isNew && second.node == first.node && second.surplus == [4, -1, -1])
        #expect(tree.pages(of: first.node).map(Array.init) == [1, 5, 3])
    }

    @Test func leavesAreEvictedBeforeWhatTheyFollow() {
        var tree = tree()
        let first = tree.insert([1, 2, 3], .everyone, firstPage: 10)
        tree.insert([1, 4], .everyone, firstPage: 20)
        #expect(tree.matched([1, 2, 3], .everyone) == 3)
        #expect(tree.leastRecentInMemory.flatMap { tree.pages(of: $0) }.map(Array.init) == [21])
        tree.pin(first[1])
        let order = (0..<2).map { _ in tree.evictFromMemory()?.pages }
        #expect(order == [[21], [12]])
        #expect(tree.evictFromMemory() == nil && tree.isPinned(first[0]))
        tree.unpin(first[1])
        #expect((0..<3).map { _ in tree.evictFromMemory()?.pages } == [[11], [10], nil])
        #expect(tree.nodeCount == 0)
    }

    @Test func whatIsOnFlashStaysUntilItsParentGoes() {
        var tree = tree()
        let nodes = tree.insert([1, 2, 3], .everyone, firstPage: 10)
        // The parent was not saved: what follows it cannot be reached without it.
        tree.attach(slot: SlotID(rawValue: 5), to: nodes[1])
        tree.attach(slot: SlotID(rawValue: 6), to: nodes[2])
        #expect(tree.evictFromMemory()?.gone == [])
        #expect(tree.evictFromMemory()?.gone == [])
        #expect(tree.pages(of: nodes[2]) == nil && tree.slot(of: nodes[2])?.rawValue == 6)
        #expect(tree.matched([1, 2, 3], .everyone) == 3)
        let last = tree.evictFromMemory()
        #expect(last?.pages == [10] && Set(last?.gone ?? []) == Set(nodes))
        #expect(Set(last?.slots.map(\.rawValue) ?? []) == [5, 6] && tree.nodeCount == 0)
    }

    @Test func slotsAreEvictedFromTheEndsToo() {
        var tree = tree()
        let nodes = tree.insert([1, 2, 3], .everyone, firstPage: 10)
        for (index, node) in nodes.enumerated() {
            tree.attach(slot: SlotID(rawValue: Int32(index)), to: node)
        }
        _ = tree.evictFromMemory()
        tree.pin(nodes[0])
        #expect(tree.evictFromFlash()?.gone == [nodes[2]])
        // Still in memory: it stays.
        let second = tree.evictFromFlash()
        #expect(second?.slots.map(\.rawValue) == [1] && second?.gone == [])
        #expect(tree.evictFromFlash() == nil)
        tree.unpin(nodes[0])
        #expect(tree.evictFromFlash()?.slots.map(\.rawValue) == [0] && tree.nodeCount == 2)
    }

    @Test func aDamagedBlockTakesWhatFollowsItAlong() {
        var tree = tree()
        let nodes = tree.insert([1, 2, 3], .everyone, firstPage: 10)
        for (index, node) in nodes.enumerated() {
            tree.attach(slot: SlotID(rawValue: Int32(index)), to: node)
        }
        for _ in 0..<3 { _ = tree.evictFromMemory() }
        tree.attach(pages: [40], to: nodes[0])
        let eviction = tree.removeFromFlash(nodes[1])
        #expect(Set(eviction.gone) == [nodes[1], nodes[2]] && eviction.slots.count == 2)
        #expect(tree.matched([1, 2, 3], .everyone) == 1)
        #expect(tree.removeFromFlash(nodes[0]).gone == [] && tree.nodeCount == 1)
    }

    @Test func thereAreNoMoreNodesThanThereMayBe() {
        var tree = tree(nodesMax: 2)
        let nodes = tree.insert([1, 2, 3], .everyone, firstPage: 10)
        #expect(nodes.count == 2 && tree.nodeCount == 2)
        _ = tree.evictFromMemory()
        let more = tree.insert(blockTokens(3).span, after: nodes[0], owner: .everyone, pages: [9])
        #expect(more?.isNew == true && tree.nodeCount == 2)
        #expect(PrefixTree.byteCount(tree.limits) >= 2 * (64 * 4 + 4 + 32))
    }

    /// A tree of what was on flash gives slots back in the order in which they were saved, leaves
    /// first, and takes nobody's prefixes whom it does not serve.
    @Test func storedBlocksAreAdopted() {
        func stored(_ kinds: [Int], _ owner: PrefixOwner, from slot: Int32) -> [StoredBlock] {
            var parent = Digest256.none
            return kinds.enumerated().map { index, kind in
                let block = PrefixBlock(tokens: blockTokens(kind), owner: owner, parent: parent)
                parent = block.digest
                let slot = slot + Int32(index)
                return StoredBlock(
                    slot: SlotID(rawValue: slot), block: block, stamp: UInt64(slot))
            }
        }
        let blocks =
            stored([1, 2], .user(7), from: 20) + stored([1, 2, 3], .user(8), from: 10)
            + stored([1], .anyUser, from: 30)
        let orphan = Array(stored([4, 5], .user(7), from: 40).dropFirst())
        var tree = tree(nodesMax: 5)
        let refused = tree.adopt(blocks + orphan + [blocks[0]] + stored([9], .user(7), from: 50))
        #expect(refused.map(\.rawValue) == [30, 41, 20, 50])
        #expect(tree.matched([1, 2], .user(9)) == 0)
        let order = (0..<5).map { _ in tree.evictFromFlash()?.slots.first?.rawValue }
        #expect(order == [12, 11, 10, 21, 20] && tree.nodeCount == 0)
        var shared = self.tree(isShared: true)
        #expect(shared.adopt(blocks).count == 5 && shared.matched([1], .user(3)) == 1)
    }

    /// FIPS 180-4's examples, and lengths around a block's.
    @Test func digestsAreSHA256() {
        let digests = [
            "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq":
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            String(repeating: "a", count: 1000):
                "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"
        ]
        for (text, digest) in digests {
            #expect(Digest256(hashing: text).description == digest, "\(text.count) bytes")
        }
        let first = PrefixBlock(tokens: blockTokens(1), owner: .user(1), parent: .none)
        let others = [
            PrefixBlock(tokens: blockTokens(2), owner: .user(1), parent: .none),
            PrefixBlock(tokens: blockTokens(1), owner: .user(2), parent: .none),
            PrefixBlock(tokens: blockTokens(1), owner: .everyone, parent: .none),
            PrefixBlock(tokens: blockTokens(1), owner: .user(1), parent: first.digest)
        ]
        #expect(Set(others.map(\.digest) + [first.digest]).count == 5)
    }
}
