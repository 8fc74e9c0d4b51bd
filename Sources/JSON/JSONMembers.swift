// Members of JSON texts as they were written: what a dictionary of values forgets, the order of
// keys above all.

extension JSONParser {
    /// The text of the member `name` of the object that `bytes` are; nil where there is none.
    ///
    /// - Parameter bytes: JSON that was read without an error.
    package static func text(ofMember name: String, in bytes: Span<UInt8>) -> [UInt8]? {
        range(ofMember: name, at: 0, in: bytes).map { text($0, in: bytes) }
    }

    /// Where the value of the member `name` is, of the object that begins at `start`; nil where
    /// there is none.
    ///
    /// - Parameter bytes: JSON that was read without an error.
    package static func range(
        ofMember name: String, at start: Int, in bytes: Span<UInt8>
    ) -> Range<Int>? {
        var scanner = MemberScanner(position: start)
        return scanner.range(of: Array(name.utf8), in: bytes)
    }

    /// Where the elements of the list that begins at `start` are.
    ///
    /// - Parameter bytes: JSON that was read without an error.
    package static func elements(at start: Int, in bytes: Span<UInt8>) -> [Range<Int>] {
        var scanner = MemberScanner(position: start)
        return scanner.elements(in: bytes)
    }

    /// The bytes of a range.
    package static func text(_ range: Range<Int>, in bytes: Span<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(range.count)
        for index in range { text.append(bytes[index]) }
        return text
    }
}

/// Goes through valid JSON. Anything else ends it, without a result that means anything.
private struct MemberScanner {
    private var position: Int

    init(position: Int) { self.position = position }

    /// Where the value of the member is.
    mutating func range(of name: [UInt8], in bytes: Span<UInt8>) -> Range<Int>? {
        skipSpace(bytes)
        guard position < bytes.count, bytes[position] == UInt8(ascii: "{") else { return nil }
        position += 1
        while position < bytes.count {
            skipSpace(bytes)
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { return nil }
            let key = position
            skipString(bytes)
            let isMeant = matches(name, key..<position, bytes)
            skipSpace(bytes)
            position += 1
            skipSpace(bytes)
            let start = position
            skipValue(bytes)
            if isMeant { return start..<position }
            skipSpace(bytes)
            // The comma, or the object's end.
            position += 1
        }
        return nil
    }

    /// Where the elements of the list are.
    mutating func elements(in bytes: Span<UInt8>) -> [Range<Int>] {
        skipSpace(bytes)
        guard position < bytes.count, bytes[position] == UInt8(ascii: "[") else { return [] }
        position += 1
        var ranges: [Range<Int>] = []
        while true {
            skipSpace(bytes)
            let start = position
            guard start < bytes.count, bytes[start] != UInt8(ascii: "]") else { return ranges }
            skipValue(bytes)
            ranges.append(start..<position)
            skipSpace(bytes)
            guard position < bytes.count, bytes[position] == UInt8(ascii: ",") else {
                return ranges
            }
            position += 1
        }
    }

    private mutating func skipSpace(_ bytes: Span<UInt8>) {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// Passes the string that begins here.
    private mutating func skipString(_ bytes: Span<UInt8>) {
        position += 1
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        position = min(position + 1, bytes.count)
    }

    private mutating func skipValue(_ bytes: Span<UInt8>) {
        var depth = 0
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                skipString(bytes)
                if depth == 0 { return }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return }
                depth -= 1
                if depth == 0 {
                    position += 1
                    return
                }
            case UInt8(ascii: ","), 0x20, 0x09, 0x0A, 0x0D: if depth == 0 { return }
            default: break
            }
            position += 1
        }
    }

    /// Whether the string at `range`, quotes included, is `name`, however it is written.
    private func matches(_ name: [UInt8], _ range: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        var text: [UInt8] = []
        for index in range { text.append(bytes[index]) }
        if !text.contains(UInt8(ascii: "\\")) { return text.dropFirst().dropLast() == name[...] }
        return (try? JSONParser.parse(text))?.string.map { Array($0.utf8) } == name
    }
}
