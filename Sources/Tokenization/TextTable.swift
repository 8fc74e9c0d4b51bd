// Finds a text's number among many: open addressing over flat string storage, a few bytes per text
// where a dictionary of strings would take a hundred.

internal import ModelFormat

/// An index from text to its number in a `StringTable`.
struct TextTable: Sendable {
    private(set) var texts: StringTable
    /// Number plus one; 0 is free. A power of two of them, at most three quarters used.
    private var slots: [UInt32]
    /// Longest text, in bytes: longer ones need no search.
    private(set) var longestBytes = 0
    private let hashing = TextHashing()

    /// An index of `texts`. Of those that are alike the last is found.
    ///
    /// - Parameter onDuplicate: told of each text that is another's, and of that one.
    init(_ texts: StringTable, onDuplicate: (_ first: Int, _ second: Int) -> Void = { _, _ in }) {
        self.texts = texts
        slots = [UInt32](repeating: 0, count: Self.slotCount(for: texts.count))
        let bytes = texts.bytes
        for index in 0..<texts.count {
            let range = texts.range(index)
            longestBytes = max(longestBytes, range.count)
            if range.isEmpty { continue }
            let slot = self.slot(of: bytes, range)
            if slots[slot] != 0 { onDuplicate(Int(slots[slot]) - 1, index) }
            slots[slot] = UInt32(index + 1)
        }
    }

    /// An empty table, for ``insert(_:)``.
    init() {
        texts = StringTable()
        slots = [UInt32](repeating: 0, count: Self.slotCount(for: 0))
    }

    var residentBytes: Int { slots.count * 4 }

    func find(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        if range.count > longestBytes || range.isEmpty { return nil }
        let number = slots[slot(of: bytes, range)]
        return number == 0 ? nil : Int(number) - 1
    }

    func find(_ bytes: [UInt8]) -> Int? { find(bytes, 0..<bytes.count) }

    /// The text's number, a new one where it has none.
    mutating func insert(_ text: [UInt8]) -> Int {
        if let index = find(text) { return index }
        if (texts.count + 1) * 4 > slots.count * 3 { grow() }
        let index = texts.count
        slots[slot(of: text, 0..<text.count)] = UInt32(index + 1)
        texts.append(text)
        longestBytes = max(longestBytes, text.count)
        return index
    }

    private mutating func grow() {
        slots = [UInt32](repeating: 0, count: slots.count * 2)
        let bytes = texts.bytes
        for index in 0..<texts.count {
            slots[slot(of: bytes, texts.range(index))] = UInt32(index + 1)
        }
    }

    /// The slot that holds this text, or the free one where it would go.
    private func slot(of bytes: [UInt8], _ range: Range<Int>) -> Int {
        let mask = slots.count - 1
        var slot = hashing.hash(bytes, range) & mask
        let stored = texts.bytes
        while slots[slot] != 0 {
            let candidate = texts.range(Int(slots[slot]) - 1)
            if candidate.count == range.count,
                stored[candidate].elementsEqual(bytes[range])
            {
                return slot
            }
            slot = (slot + 1) & mask
        }
        return slot
    }

    static func slotCount(for count: Int) -> Int {
        var slots = 16
        while slots * 3 < count * 4 { slots *= 2 }
        return slots
    }
}

/// A keyed hash: a model file cannot choose texts that all collide, since each table draws its keys
/// anew. Ids do not depend on it.
struct TextHashing: Sendable {
    private let seed = UInt64.random(in: .min ... .max)
    private let factor = UInt64.random(in: .min ... .max) | 1

    func hash(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
        var state = seed ^ UInt64(range.count)
        var word: UInt64 = 0
        var filled = 0
        for index in range {
            word = word << 8 | UInt64(bytes[index])
            filled += 1
            if filled == 8 {
                state = mix(state ^ word)
                (word, filled) = (0, 0)
            }
        }
        return Int(truncatingIfNeeded: mix(mix(state ^ word) ^ seed))
    }

    func hash(_ left: Int32, _ right: Int32) -> Int {
        let pair = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        return Int(truncatingIfNeeded: mix(mix(pair ^ seed) ^ seed))
    }

    private func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: factor)
        return product.high ^ product.low
    }
}
