// Stop strings in text as it is generated. They may begin in one token and end in another.

/// Gives out the text before the first stop string, holding back only what could be the beginning
/// of one.
///
/// The first stop string is the one that is complete first; of several that are complete at the
/// same character, the longest. How the text is divided makes no difference. An automaton (Aho and
/// Corasick, 1975) keeps this linear in the text for any stop strings.
package struct StopMatcher: Sendable {
    /// Prefixes of the stop strings, node 0 the empty one.
    private struct Node {
        var depth: Int
        /// The longest proper suffix that is a prefix of a stop string too.
        var fallback = 0
        /// Length of the longest stop string that ends here; 0 for none.
        var stopLength = 0
    }

    private var nodes = [Node(depth: 0)]
    /// Where each byte leads: node in the high bits, byte in the low 8.
    private var edges: [Int: Int] = [:]
    private var state = 0
    /// The last bytes that were not given out: the text of `state`.
    private var held: [UInt8] = []
    /// The stop string that was found.
    package private(set) var matched: String?

    /// Empty stop strings are ignored.
    package init(_ stops: [String]) {
        // Each node's parent and byte, in the order of creation.
        var origins = [(parent: 0, byte: UInt8(0))]
        for stop in stops where !stop.isEmpty {
            var node = 0
            for byte in stop.utf8 {
                let key = Self.edge(node, byte)
                if let next = edges[key] {
                    node = next
                    continue
                }
                nodes.append(Node(depth: nodes[node].depth + 1))
                origins.append((node, byte))
                edges[key] = nodes.count - 1
                node = nodes.count - 1
            }
            nodes[node].stopLength = nodes[node].depth
        }
        // A fallback is less deep than its node, so shallow nodes come first.
        for node in nodes.indices.sorted(by: { nodes[$0].depth < nodes[$1].depth }) {
            guard nodes[node].depth > 1 else { continue }
            let origin = origins[node]
            let fallback = next(nodes[origin.parent].fallback, origin.byte)
            nodes[node].fallback = fallback
            if nodes[node].stopLength == 0 { nodes[node].stopLength = nodes[fallback].stopLength }
        }
    }

    /// Takes the next text. After a stop nothing more is given out.
    package mutating func append(_ text: String) -> (emit: String, stopped: Bool) {
        if matched != nil { return ("", true) }
        if nodes.count == 1 { return (text, false) }
        for byte in text.utf8 {
            state = next(state, byte)
            held.append(byte)
            let stopLength = nodes[state].stopLength
            if stopLength > 0 {
                matched = String(decoding: held.suffix(stopLength), as: UTF8.self)
                let emit = String(decoding: held.dropLast(stopLength), as: UTF8.self)
                held.removeAll()
                return (emit, true)
            }
        }
        let free = held.count - nodes[state].depth
        let emit = String(decoding: held.prefix(free), as: UTF8.self)
        held.removeFirst(free)
        return (emit, false)
    }

    /// The text that was held back, when no more comes.
    package mutating func finish() -> String {
        defer { held.removeAll() }
        state = 0
        return String(decoding: held, as: UTF8.self)
    }

    private func next(_ from: Int, _ byte: UInt8) -> Int {
        var node = from
        while true {
            if let next = edges[Self.edge(node, byte)] { return next }
            if node == 0 { return 0 }
            node = nodes[node].fallback
        }
    }

    private static func edge(_ node: Int, _ byte: UInt8) -> Int { node << 8 | Int(byte) }
}
