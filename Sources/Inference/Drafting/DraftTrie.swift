// What the text said before after the same words: an n-gram trie over prompt and output with
// frequencies, and the guess it makes for the next tokens (Lookahead, arXiv 2312.12728, with a
// single branch). Bounded memory, taken once; knows no model.

package import ModelFormat

/// A token that may come next.
package struct Draft: Sendable, Equatable {
    package let token: TokenID
    /// Tokens before it that occurred before in the same order, at most ``DraftTrie/matchMax``.
    package let matchLength: Int

    package init(token: TokenID, matchLength: Int) {
        self.token = token
        self.matchLength = matchLength
    }
}

/// The n-grams of a sequence's last tokens.
///
/// Every suffix of at most ``matchMax`` tokens has its node as long as the window holds it, so that
/// adding a token and guessing the next each take a few look-ups.
package struct DraftTrie: Sendable {
    /// Longest run of tokens that a guess looks at.
    package static let matchMax = 5
    /// Tokens of a window beyond which a longer one is not worth its memory.
    package static let windowTokensMax = 4096

    private struct Node {
        var parent: Int32
        var token: Int32
        var count: Int32 = 0
        /// The child with the highest count, of these the one used last; 0 for none.
        var likeliest: Int32 = 0
    }

    /// What the allocator may add to the three arrays.
    private static let roundingBytes = 3 * 32
    private static let root: Int32 = 0
    private static let none: Int32 = -1

    /// The root is node 0.
    private var nodes: [Node] = []
    /// An open-addressed table from parent and token to the node; 0 is empty, as the root is no
    /// one's child. A power of two places, more than nodes.
    private var places: [Int32]
    private let multiplier: UInt64
    private let windowTokens: Int
    /// What the trie holds, oldest first.
    private var window: [Int32] = []
    /// Nodes of the last 0, 1, ... tokens.
    private var suffixes: [Int32]

    /// - Parameter windowTokens: as many of the last tokens are looked at, at least half.
    package init(windowTokens: Int) {
        self.windowTokens = max(2, min(windowTokens, Self.windowTokensMax))
        let nodeCount = Self.nodeCount(windowTokens: self.windowTokens)
        nodes.reserveCapacity(nodeCount)
        window.reserveCapacity(self.windowTokens)
        places = Array(repeating: 0, count: Self.placeCount(nodeCount: nodeCount))
        // Unknown to whoever writes prompts, who could else make all n-grams fall into one place.
        multiplier = UInt64.random(in: .min ... .max) | 1
        suffixes = [Self.root]
        nodes.append(Node(parent: Self.none, token: Self.none))
    }

    /// Bytes that a trie takes.
    package static func byteCount(windowTokens: Int) -> Int {
        let tokens = max(2, min(windowTokens, windowTokensMax))
        let nodes = nodeCount(windowTokens: tokens)
        return roundingBytes + nodes * MemoryLayout<Node>.stride
            + (placeCount(nodeCount: nodes) + tokens) * MemoryLayout<Int32>.stride
    }

    /// Bytes that this one takes.
    package var usedBytes: Int {
        nodes.capacity * MemoryLayout<Node>.stride
            + (places.count + window.capacity) * MemoryLayout<Int32>.stride
    }

    /// A token makes at most one node for each length of the run that it ends.
    private static func nodeCount(windowTokens: Int) -> Int { windowTokens * (matchMax + 1) + 1 }

    private static func placeCount(nodeCount: Int) -> Int {
        var places = 4
        while places * 4 < nodeCount * 5 { places *= 2 }
        return places
    }

    /// Adds a token at the end of the text.
    package mutating func append(_ token: TokenID) {
        if window.count == windowTokens { forgetOlderHalf() }
        window.append(token.rawValue)
        insert(token.rawValue)
    }

    /// The likeliest continuation of the text, at most `count` tokens: each is what came most often
    /// after the longest run of tokens before it that occurred earlier.
    package func drafts(count: Int) -> [Draft] {
        var drafts: [Draft] = []
        var suffixes = suffixes
        while drafts.count < count {
            // Without any run in common, the most frequent token is no guess worth a row.
            guard
                let length = suffixes.indices.dropFirst().last(where: {
                    suffixes[$0] != Self.none && nodes[Int(suffixes[$0])].likeliest != 0
                })
            else { break }
            let next = nodes[Int(suffixes[length])].likeliest
            let token = nodes[Int(next)].token
            drafts.append(Draft(token: TokenID(rawValue: token), matchLength: length))
            suffixes = successors(of: suffixes, token)
        }
        return drafts
    }

    /// The suffixes' nodes after one more token; ``none`` where it never came.
    private func successors(of suffixes: [Int32], _ token: Int32) -> [Int32] {
        var next = [Self.root]
        for suffix in suffixes.prefix(Self.matchMax) {
            next.append(suffix == Self.none ? Self.none : child(of: suffix, token) ?? Self.none)
        }
        return next
    }

    private mutating func insert(_ token: Int32) {
        var next = [Self.root]
        for suffix in suffixes {
            let node = count(token, after: suffix)
            if next.count <= Self.matchMax { next.append(node) }
        }
        suffixes = next
    }

    /// Counts `token` as a child of `parent`, and returns its node.
    private mutating func count(_ token: Int32, after parent: Int32) -> Int32 {
        let place = place(of: token, after: parent)
        if places[place] == 0 {
            places[place] = Int32(nodes.count)
            nodes.append(Node(parent: parent, token: token))
        }
        let node = places[place]
        nodes[Int(node)].count += 1
        let likeliest = nodes[Int(parent)].likeliest
        if likeliest == 0 || nodes[Int(node)].count >= nodes[Int(likeliest)].count {
            nodes[Int(parent)].likeliest = node
        }
        return node
    }

    private func child(of parent: Int32, _ token: Int32) -> Int32? {
        let node = places[place(of: token, after: parent)]
        return node == 0 ? nil : node
    }

    /// Where the child is, or would be put.
    private func place(of token: Int32, after parent: Int32) -> Int {
        let key = UInt64(UInt32(bitPattern: parent)) << 32 | UInt64(UInt32(bitPattern: token))
        let mask = places.count - 1
        let mixed = (key ^ key >> 29) &* multiplier
        var place = Int(truncatingIfNeeded: (mixed ^ mixed >> 32) &* multiplier >> 32) & mask
        while places[place] != 0 {
            let node = nodes[Int(places[place])]
            if node.parent == parent && node.token == token { break }
            place = (place + 1) & mask
        }
        return place
    }

    private mutating func forgetOlderHalf() {
        window.removeFirst(window.count - windowTokens / 2)
        nodes.removeLast(nodes.count - 1)
        nodes[0].likeliest = 0
        for place in places.indices { places[place] = 0 }
        suffixes = [Self.root]
        for token in window { insert(token) }
    }
}
