// The last tokens of a sequence and how often each occurs: what the three penalties look at. Memory
// is taken once, when the window is made.

internal import ModelFormat

/// A ring of the last `capacity` tokens with a count for each.
struct PenaltyWindow: Sendable {
    let capacity: Int
    private var ring: [Int32]
    private var next = 0
    private var filled = 0
    /// An open-addressed table from token to count, rebuilt by ``count()``: -1 is empty. Twice as
    /// many places as tokens, so that a search ends.
    private var keys: [Int32]
    private var counts: [Int32]
    /// One bit for each token that occurs, so that scanning all logits costs next to nothing.
    private var present: [UInt64]

    init(capacity: Int, vocabularySize: Int) {
        self.capacity = capacity
        ring = Array(repeating: 0, count: capacity)
        let places = capacity == 0 ? 0 : Self.places(for: capacity)
        keys = Array(repeating: -1, count: places)
        counts = Array(repeating: 0, count: places)
        present = Array(repeating: 0, count: capacity == 0 ? 0 : (vocabularySize + 63) / 64)
    }

    /// Bytes that a window takes.
    static func bytes(capacity: Int, vocabularySize: Int) -> Int {
        capacity == 0
            ? 0 : capacity * 4 + places(for: capacity) * 8 + (vocabularySize + 63) / 64 * 8
    }

    private static func places(for capacity: Int) -> Int {
        var places = 4
        while places < capacity * 2 { places *= 2 }
        return places
    }

    /// Adds a token at the end; the oldest leaves when the window is full.
    mutating func append(_ token: TokenID) {
        guard capacity > 0 else { return }
        ring[next] = token.rawValue
        next = next + 1 == capacity ? 0 : next + 1
        filled = min(filled + 1, capacity)
    }

    /// Counts the window's tokens; `contains` and `occurrences` answer for this moment.
    mutating func count() {
        for place in keys.indices where keys[place] >= 0 {
            present[Int(keys[place]) / 64] = 0
            keys[place] = -1
        }
        for index in 0..<filled {
            let token = ring[index]
            let place = self.place(of: token)
            if keys[place] < 0 {
                keys[place] = token
                counts[place] = 0
                present[Int(token) / 64] |= 1 << UInt64(token % 64)
            }
            counts[place] += 1
        }
    }

    func contains(_ token: Int) -> Bool {
        present[token / 64] >> UInt64(token % 64) & 1 != 0
    }

    /// How often a token occurs.
    func occurrences(of token: Int) -> Int {
        let place = place(of: Int32(token))
        return keys[place] < 0 ? 0 : Int(counts[place])
    }

    /// Where a token is, or would be put.
    private func place(of token: Int32) -> Int {
        let mask = keys.count - 1
        var place = Int(truncatingIfNeeded: UInt32(bitPattern: token) &* 0x9e37_79b1 >> 7) & mask
        while keys[place] >= 0 && keys[place] != token { place = (place + 1) & mask }
        return place
    }
}
