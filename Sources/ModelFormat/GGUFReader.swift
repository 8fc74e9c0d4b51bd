// A cursor over a GGUF file's header: little-endian fields through one small window. Owns the rule
// that nothing is read, skipped or allocated before its bytes are known to exist. Refuses whatever
// runs past its end, naming the field.

/// Limits on what a GGUF header may hold. Each is far above any real file's need and keeps a
/// hostile header's cost far below 64 MB.
package enum GGUFLimits {
    /// Metadata and tensor table of one part.
    static let headerBytes: UInt64 = 256 << 20
    static let metadataCount = 16_384
    static let keyBytes = 1_024
    /// Over all parts.
    static let tensorCount = 32_768
    /// ggml itself allows 63.
    static let tensorNameBytes = 256
    static let alignmentMax: UInt64 = 1 << 20
    static let partCount = 1_000
    /// A single metadata string that is decoded, such as a chat template.
    static let textBytes = 1 << 20
    /// Tokens or merges.
    package static let tableStrings = 1 << 20
    static let tableBytes = 16 << 20
}

/// Reads forward through a part of a source.
struct GGUFReader {
    static let windowBytes = 65_536

    let source: any ByteSource
    /// Where the next field starts, in bytes from the source's start.
    private(set) var offset: UInt64
    private let end: UInt64
    /// What is being read, for messages: a metadata key, a tensor's name.
    var context = "the header"

    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0

    /// - Precondition: `range` lies inside the source.
    init(_ source: any ByteSource, range: Range<UInt64>) {
        precondition(range.upperBound <= source.byteCount, "callers stay inside the source")
        self.source = source
        offset = range.lowerBound
        end = range.upperBound
    }

    var remaining: UInt64 { end - offset }

    func error(at place: UInt64? = nil, expected: String, found: String) -> FormatError {
        FormatError(
            file: source.name, offset: place ?? offset, expected: expected, found: found)
    }

    /// An unsigned little-endian integer.
    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ what: String, as type: Value.Type = Value.self
    ) throws(FormatError) -> Value {
        let length = Value.bitWidth / 8
        try require(UInt64(length), what)
        try fillWindow(length)
        let start = Int(offset - windowStart)
        var value: Value = 0
        for index in 0..<length {
            value |= Value(window[start + index]) << (8 * index)
        }
        offset += UInt64(length)
        return value
    }

    /// The next `count` bytes.
    mutating func bytes(_ count: Int, _ what: String) throws(FormatError) -> ArraySlice<UInt8> {
        try require(UInt64(count), what)
        if count <= Self.windowBytes {
            try fillWindow(count)
            let start = Int(offset - windowStart)
            offset += UInt64(count)
            return window[start..<start + count]
        }
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            let piece = min(count - result.count, Self.windowBytes)
            result.append(contentsOf: try bytes(piece, what))
        }
        return result[...]
    }

    mutating func skip(_ count: UInt64, _ what: String) throws(FormatError) {
        try require(count, what)
        offset += count
    }

    /// A string's length field, checked against what remains and against `limit`.
    mutating func length(_ what: String, limit: Int) throws(FormatError) -> Int {
        let place = offset
        let length = try integer(what, as: UInt64.self)
        guard length <= remaining else {
            throw error(
                at: place, expected: "\(what) of at most the \(remaining) bytes that remain",
                found: "\(length)")
        }
        guard length <= UInt64(limit) else {
            throw error(at: place, expected: "\(what) of at most \(limit)", found: "\(length)")
        }
        return Int(length)
    }

    /// A count of elements that take at least `size` bytes each, checked against what remains.
    mutating func count(
        of what: String, bytesEach size: UInt64, limit: Int? = nil
    ) throws(FormatError) -> UInt64 {
        let place = offset
        let count = try integer("the number of \(what)", as: UInt64.self)
        guard count <= remaining / size else {
            throw error(
                at: place, expected: "at most \(remaining / size) \(what) in \(context)",
                found: "\(count)")
        }
        if let limit, count > UInt64(limit) {
            throw error(
                at: place, expected: "at most \(limit) \(what) in \(context)", found: "\(count)")
        }
        return count
    }

    private func require(_ count: UInt64, _ what: String) throws(FormatError) {
        guard count <= remaining else {
            throw error(
                expected: "\(count) bytes for \(what) in \(context)",
                found: "\(remaining) before the end")
        }
    }

    /// Makes the window hold the next `count` bytes.
    ///
    /// - Precondition: the bytes exist (``require(_:_:)``) and fit the window.
    private mutating func fillWindow(_ count: Int) throws(FormatError) {
        if offset >= windowStart, offset - windowStart <= UInt64(window.count),
            count <= window.count - Int(offset - windowStart)
        {
            return
        }
        let size = Int(min(UInt64(Self.windowBytes), remaining))
        let (source, offset) = (source, offset)
        if window.count != size { window = [UInt8](repeating: 0, count: size) }
        var span = window.mutableSpan
        // Safe: every byte is a valid UInt8. The parser's only unsafe operation.
        var bytes = unsafe span.mutableBytes
        try source.read(at: offset, into: &bytes)
        windowStart = offset
    }
}

/// Text from a file as messages show it: quoted, on one line, cut after 64 characters.
package func shown(_ text: String) -> String {
    var result = "'"
    var length = 0
    for scalar in text.unicodeScalars {
        if length == 64 { return result + "...'" }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
            result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
        length += 1
    }
    return result + "'"
}
