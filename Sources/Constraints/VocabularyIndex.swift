// A vocabulary's tokens sorted by their bytes, so that a walk over all of them takes each common
// beginning once: the order of a trie's leaves, with what each leaf shares with the one before it.

internal import ModelFormat
package import Tokenization

/// The tokens that text is made of. Control tokens, and those that end generation, are not.
package struct VocabularyIndex: Sendable {
    package let tokenCount: Int
    /// Tokens by their bytes.
    private let order: [Int32]
    /// Bytes that a token of the order has in common with the one before it.
    private let common: [UInt16]
    /// Where tokens whose first byte is at least so begin in the order.
    private let firsts: [Int32]
    /// The bytes of each token, one after the other.
    private let bytes: [UInt8]
    private let ends: [UInt32]

    /// Tokens that end generation.
    let endings: [Int]

    /// Tokens at even distances in the order.
    let samples: [Int]

    /// Longest token that is used.
    private static let tokenBytesMax = 4096
    private static let samplesMax = 256

    package init(_ tokenizer: Tokenizer) {
        tokenCount = tokenizer.tokenCount
        var bytes: [UInt8] = []
        var ends: [UInt32] = []
        var order: [Int32] = []
        bytes.reserveCapacity(tokenizer.textBytes)
        ends.reserveCapacity(tokenCount)
        order.reserveCapacity(tokenCount)
        for index in 0..<tokenizer.tokenCount {
            let token = TokenID(index)
            let start = bytes.count
            if !tokenizer.isEndOfGeneration(token) { tokenizer.append(token, to: &bytes) }
            if bytes.count - start > Self.tokenBytesMax { bytes.removeLast(bytes.count - start) }
            if bytes.count > start { order.append(Int32(index)) }
            ends.append(UInt32(bytes.count))
        }
        func range(_ token: Int32) -> Range<Int> {
            (token == 0 ? 0 : Int(ends[Int(token) - 1]))..<Int(ends[Int(token)])
        }
        order.sort { left, right in
            let (own, other) = (range(left), range(right))
            for offset in 0..<min(own.count, other.count) {
                let (a, b) = (bytes[own.lowerBound + offset], bytes[other.lowerBound + offset])
                if a != b { return a < b }
            }
            return (own.count, left) < (other.count, right)
        }
        var common: [UInt16] = []
        common.reserveCapacity(order.count)
        var firsts = [Int32](repeating: Int32(order.count), count: 257)
        var filled = 0
        for (place, token) in order.enumerated() {
            let own = range(token)
            let first = Int(bytes[own.lowerBound])
            while filled <= first {
                firsts[filled] = Int32(place)
                filled += 1
            }
            var shared = 0
            if place > 0 {
                let other = range(order[place - 1])
                while shared < min(own.count, other.count),
                    bytes[own.lowerBound + shared] == bytes[other.lowerBound + shared]
                { shared += 1 }
            }
            common.append(UInt16(shared))
        }
        (self.bytes, self.ends, self.order) = (bytes, ends, order)
        (self.common, self.firsts) = (common, firsts)
        let distance = max(1, order.count / Self.samplesMax)
        samples = stride(from: distance / 2, to: order.count, by: distance).map { Int(order[$0]) }
        endings = (0..<tokenizer.tokenCount).filter { tokenizer.isEndOfGeneration(TokenID($0)) }
    }

    /// Bytes that an index of this tokenizer's vocabulary keeps, at most.
    package static func bytesMax(_ tokenizer: Tokenizer) -> Int {
        tokenizer.textBytes + tokenizer.tokenCount * 10 + 2 << 10
    }

    /// Bytes that it keeps.
    package var byteCount: Int {
        bytes.capacity + 4 * (ends.capacity + order.capacity + firsts.count) + 2 * common.capacity
    }

    /// The bytes of a token that text is made of; none of others.
    func range(_ token: Int) -> Range<Int> {
        (token == 0 ? 0 : Int(ends[token - 1]))..<Int(ends[token])
    }

    subscript(byteAt place: Int) -> UInt8 { bytes[place] }

    /// Walks over all tokens, each common beginning once.
    ///
    /// - Parameters:
    ///   - step: from what came before a byte to what comes after it; nil where it may not come.
    ///   - visit: told of each token whose last byte may come.
    func walk<State, Failure: Error>(
        from start: State, step: (State, UInt8) throws(Failure) -> State?, visit: (Int) -> Void
    ) throws(Failure) {
        // What comes after each byte of the token before, as far as it may come.
        var path = [State](repeating: start, count: Self.tokenBytesMax + 1)
        for first in 0..<256 {
            let tokens = Int(firsts[first])..<Int(firsts[first + 1])
            guard !tokens.isEmpty, let begun = try step(start, UInt8(first)) else { continue }
            path[1] = begun
            var depth = 1
            for place in tokens {
                let shared = place == tokens.lowerBound ? 1 : Int(common[place])
                // What ended the one before ends this one, too.
                guard shared <= depth else { continue }
                let own = range(Int(order[place]))
                depth = shared
                var state = path[depth]
                while depth < own.count {
                    guard let next = try step(state, bytes[own.lowerBound + depth]) else { break }
                    depth += 1
                    path[depth] = next
                    state = next
                }
                if depth == own.count { visit(Int(order[place])) }
            }
        }
    }
}
