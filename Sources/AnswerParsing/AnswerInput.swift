// The text of an answer that is not taken apart yet. Bytes of special tokens stay marked, so that
// they can be markers and are never shown.

struct AnswerInput: Sendable {
    /// Bytes, and those of special tokens plus 256.
    private var units: [UInt16] = []
    private var cursor = 0
    /// What is kept from here on, to be read again if it was no call.
    private var mark: Int?
    /// Whether nothing follows.
    var isFinal = false

    static func isSpecial(_ unit: UInt16) -> Bool { unit > 0xFF }
    static func byte(_ unit: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: unit) }

    mutating func append(_ bytes: some Sequence<UInt8>, isSpecial: Bool) {
        for byte in bytes { units.append(UInt16(byte) + (isSpecial ? 0x100 : 0)) }
    }

    var count: Int { units.count - cursor }

    var first: UInt16? { cursor < units.count ? units[cursor] : nil }

    /// The byte of text that is next; nil where nothing is, or a special token.
    var firstByte: UInt8? { first.flatMap { Self.isSpecial($0) ? nil : Self.byte($0) } }

    mutating func drop(_ count: Int = 1) { cursor += count }

    /// Drops a byte of white space; false where none is next.
    mutating func dropSpace() -> Bool {
        guard let byte = firstByte, byte.isSpace else { return false }
        cursor += 1
        return true
    }

    enum Match { case none, partial, full }

    /// Whether a marker is next; `partial` where that depends on what follows.
    func match(_ marker: [UInt8]) -> Match {
        guard !marker.isEmpty, let first, Self.byte(first) == marker[0] else { return .none }
        let known = min(count, marker.count)
        for index in 1..<max(1, known) where Self.byte(units[cursor + index]) != marker[index] {
            return .none
        }
        if known == marker.count { return .full }
        return isFinal ? .none : .partial
    }

    /// The longest of `markers` that is next; nil in `place` while it is not known.
    func match(anyOf markers: [[UInt8]]) -> (match: Match, place: Int) {
        var found: (match: Match, place: Int) = (.none, 0)
        for (place, marker) in markers.enumerated() {
            switch match(marker) {
            case .none: break
            case .partial:
                if found.match == .none || marker.count > markers[found.place].count {
                    found = (.partial, place)
                }
            case .full:
                if found.match == .none || marker.count > markers[found.place].count {
                    found = (.full, place)
                }
            }
        }
        return found
    }

    // MARK: reading again

    /// Keeps what follows.
    mutating func keep() { mark = cursor }

    /// What is kept is not needed any more.
    mutating func release() { mark = nil }

    /// What was kept is next again.
    mutating func rewind() {
        cursor = mark ?? cursor
        mark = nil
    }

    /// Units that are kept.
    var keptCount: Int { mark.map { cursor - $0 } ?? 0 }

    /// Gives back the memory of what was read.
    mutating func compact() {
        let used = mark ?? cursor
        units.removeFirst(used)
        cursor -= used
        mark = mark.map { $0 - used }
    }
}
