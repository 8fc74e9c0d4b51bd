// Text that knows which of its bytes came from outside. What users wrote is never a special token,
// whatever a template does with it: every operation here keeps the marks.

/// UTF-8 text, each byte of which is either the template's or from outside.
package struct MarkedText: Sendable {
    package private(set) var bytes: [UInt8] = []
    /// What came from outside: ascending, none empty, none touching the next.
    package private(set) var outside: [Range<Int>] = []
    /// Jinja's `safe`: what is added to it is escaped for HTML.
    var isMarkup = false

    package init() {}

    package init(_ text: String, isOutside: Bool) {
        self.init(bytes: Array(text.utf8), isOutside: isOutside)
    }

    init(bytes: [UInt8], isOutside: Bool) {
        self.bytes = bytes
        if isOutside, !bytes.isEmpty { outside = [0..<bytes.count] }
    }

    /// Text of the template, or of this program.
    init(_ text: String) { self.init(text, isOutside: false) }

    package var string: String { String(decoding: bytes, as: UTF8.self) }
    var isEmpty: Bool { bytes.isEmpty }
    var count: Int { bytes.count }

    /// Runs of bytes with one mark, in order.
    package func runs() -> [(range: Range<Int>, isOutside: Bool)] {
        var runs: [(range: Range<Int>, isOutside: Bool)] = []
        var end = 0
        for range in outside {
            if end < range.lowerBound { runs.append((end..<range.lowerBound, false)) }
            runs.append((range, true))
            end = range.upperBound
        }
        if end < bytes.count { runs.append((end..<bytes.count, false)) }
        return runs
    }

    mutating func append(_ other: MarkedText) { append(other, 0..<other.count) }

    mutating func append(_ other: MarkedText, _ range: Range<Int>) {
        let shift = bytes.count - range.lowerBound
        bytes.append(contentsOf: other.bytes[range])
        var index = other.firstOutside(endingAfter: range.lowerBound)
        while index < other.outside.count, other.outside[index].lowerBound < range.upperBound {
            let part = other.outside[index].clamped(to: range)
            mark(part.lowerBound + shift..<part.upperBound + shift)
            index += 1
        }
    }

    mutating func append(_ text: String, isOutside: Bool = false) {
        let start = bytes.count
        bytes.append(contentsOf: text.utf8)
        if isOutside { mark(start..<bytes.count) }
    }

    mutating func append(_ byte: UInt8, isOutside: Bool) {
        bytes.append(byte)
        if isOutside { mark(bytes.count - 1..<bytes.count) }
    }

    func slice(_ range: Range<Int>) -> MarkedText {
        var part = MarkedText()
        part.append(self, range)
        part.isMarkup = isMarkup
        return part
    }

    func isOutside(at offset: Int) -> Bool {
        let index = firstOutside(endingAfter: offset)
        return index < outside.count && outside[index].lowerBound <= offset
    }

    /// Without `prefix` at the beginning, where the template has written it.
    package func dropping(prefix: String) -> MarkedText {
        let count = prefix.utf8.count
        guard bytes.starts(with: prefix.utf8), (outside.first?.lowerBound ?? .max) >= count else {
            return self
        }
        return slice(count..<bytes.count)
    }

    private mutating func mark(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        if let last = outside.last, last.upperBound == range.lowerBound {
            outside[outside.count - 1] = last.lowerBound..<range.upperBound
        } else {
            outside.append(range)
        }
    }

    private func firstOutside(endingAfter offset: Int) -> Int {
        var low = 0
        var high = outside.count
        while low < high {
            let middle = (low + high) / 2
            if outside[middle].upperBound > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// Texts are equal where their bytes are, whoever wrote them.
extension MarkedText: Hashable {
    package static func == (left: MarkedText, right: MarkedText) -> Bool {
        left.bytes == right.bytes
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

    static func < (left: MarkedText, right: MarkedText) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

// MARK: - Characters

extension MarkedText {
    /// Characters, as Python counts them: code points.
    var scalarCount: Int { bytes.count { $0 & 0xC0 != 0x80 } }

    /// Where each character begins.
    var scalarOffsets: [Int] { bytes.indices.filter { bytes[$0] & 0xC0 != 0x80 } }

    /// The end of the character that begins at `offset`.
    func scalarEnd(_ offset: Int) -> Int {
        var end = offset + 1
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return end
    }

    /// The beginning of the character that ends at `end`.
    func scalarStart(before end: Int) -> Int {
        var start = end - 1
        while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return start
    }

    func scalar(at offset: Int) -> Unicode.Scalar {
        String(decoding: bytes[offset..<scalarEnd(offset)], as: UTF8.self).unicodeScalars.first
            ?? "\u{FFFD}"
    }

    /// One text for each character.
    var scalars: [MarkedText] {
        scalarOffsets.map { slice($0..<scalarEnd($0)) }
    }

    /// What `change` makes of each character, with that character's mark.
    func mapped(_ change: (Unicode.Scalar, _ offset: Int) -> String) -> MarkedText {
        var result = MarkedText()
        result.isMarkup = isMarkup
        var offset = 0
        while offset < bytes.count {
            result.append(change(scalar(at: offset), offset), isOutside: isOutside(at: offset))
            offset = scalarEnd(offset)
        }
        return result
    }

    /// Python's white space.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029,
            0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte) || (0x1C...0x1F).contains(byte)
    }
}

// MARK: - Search

extension MarkedText {
    /// Where `needle` is first found at or after `start`.
    func find(_ needle: MarkedText, from start: Int = 0, before end: Int? = nil) -> Int? {
        let end = end ?? count
        guard start <= end, needle.count <= end - start else { return nil }
        guard let first = needle.bytes.first else { return start }
        let last = end - needle.count
        var offset = start
        while offset <= last {
            guard let found = bytes[offset...last].firstIndex(of: first) else { return nil }
            if bytes[found..<found + needle.count] == needle.bytes[...] { return found }
            offset = found + 1
        }
        return nil
    }

    func findLast(_ needle: MarkedText, before end: Int) -> Int? {
        guard needle.count <= end else { return nil }
        var offset = end - needle.count
        while offset >= 0 {
            if bytes[offset..<offset + needle.count] == needle.bytes[...] { return offset }
            offset -= 1
        }
        return nil
    }

    func hasPrefix(_ prefix: MarkedText) -> Bool { bytes.starts(with: prefix.bytes) }

    func hasSuffix(_ suffix: MarkedText) -> Bool {
        bytes.count >= suffix.count && bytes.suffix(suffix.count) == suffix.bytes[...]
    }
}
