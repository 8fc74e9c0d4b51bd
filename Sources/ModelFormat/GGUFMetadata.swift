// A GGUF part's metadata: a directory of typed values. Small values are kept; strings and arrays
// stay in the file (a vocabulary's arrays take megabytes) and are decoded when asked for.

/// The types of metadata values, by their numbers in the file (GGUF specification,
/// `gguf_metadata_value_type`).
package enum GGUFValueType: UInt32, Sendable {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array
    case uint64, int64, float64

    /// Bytes of one value; nil where that varies.
    var byteCount: UInt64? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }

    /// Bytes that one value takes at the least.
    var byteCountMin: UInt64 { byteCount ?? 8 }

    var isInteger: Bool {
        switch self {
        case .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64: true
        case .float32, .bool, .string, .array, .float64: false
        }
    }

    /// An integer value from its bits, of a bool 0 or 1; nil for other types and for what `Int`
    /// cannot hold.
    func integer(_ bits: UInt64) -> Int? {
        switch self {
        case .uint8, .uint16, .uint32, .uint64: Int(exactly: bits)
        case .int8: Int(Int8(truncatingIfNeeded: bits))
        case .int16: Int(Int16(truncatingIfNeeded: bits))
        case .int32: Int(Int32(truncatingIfNeeded: bits))
        case .int64: Int(Int64(bitPattern: bits))
        case .bool: bits == 0 ? 0 : 1
        case .float32, .string, .array, .float64: nil
        }
    }
}

/// One part's metadata in file order.
package struct GGUFMetadata: Sendable {
    /// A key and where its value is.
    package struct Entry: Sendable {
        package let key: String
        /// `array` for arrays.
        package let type: GGUFValueType
        /// An array's element type.
        package let elementType: GGUFValueType?
        /// Elements of an array; 1 otherwise.
        package let count: UInt64
        /// A number's bits; 0 for strings and arrays.
        let bits: UInt64
        /// An array's elements, or a string's bytes, in the file.
        package let payload: Range<UInt64>

        /// As messages name it: `uint32`, `array of string`.
        package var typeName: String {
            elementType.map { "array of \($0)" } ?? "\(type)"
        }
    }

    package let entries: [Entry]
    private let places: [String: Int]
    /// Strings that are not the file's own.
    private let texts: [String: String]
    package let source: any ByteSource

    /// - Precondition: no key occurs twice.
    init(source: any ByteSource, entries: [Entry], places: [String: Int]) {
        precondition(entries.count == places.count, "each key is there once")
        self.source = source
        self.entries = entries
        self.places = places
        texts = [:]
    }

    /// The entries of an edited file; `texts` has the values of strings that are new.
    ///
    /// - Precondition: no key occurs twice.
    init(source: any ByteSource, entries: [Entry], texts: [String: String]) {
        self.source = source
        self.entries = entries
        places = Dictionary(
            uniqueKeysWithValues: entries.enumerated().map { ($0.element.key, $0.offset) })
        self.texts = texts
    }

    package func entry(_ key: String) -> Entry? { places[key].map { entries[$0] } }

    /// A number that is there and inside `range`, or nil where the key is absent.
    ///
    /// - Throws: `FormatError` when the value is not an integer inside `range`.
    package func integer(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(FormatError) -> Int? {
        guard let entry = entry(key) else { return nil }
        guard entry.type.isInteger else { throw mismatch(entry, "an integer") }
        return try checked(entry.type.integer(entry.bits), entry, range)
    }

    /// An integer, or an array of integers that are all the same (per-layer values).
    ///
    /// - Throws: `FormatError` for other types, differing elements, and numbers outside `range`.
    package func uniformInteger(
        _ key: String, in range: ClosedRange<Int>
    ) throws(FormatError) -> Int? {
        guard let entry = entry(key), entry.type == .array else {
            return try integer(key, in: range)
        }
        guard let type = entry.elementType, type.isInteger, let size = type.byteCount,
            entry.count > 0
        else { throw mismatch(entry, "an integer or a list of integers") }
        var reader = reader(entry)
        var first: UInt64?
        for index in 0..<entry.count {
            let bits = try reader.bits(size)
            if let first, first != bits {
                let found = type.integer(bits).map(String.init) ?? "\(bits)"
                throw error(
                    entry, expected: "\(key) to be the same in every layer",
                    found: "\(found) in layer \(index)")
            }
            first = bits
        }
        return try checked(first.flatMap(type.integer), entry, range)
    }

    /// One integer or a list of them, or of bools as 0 and 1; nil where the key is absent.
    ///
    /// - Throws: `FormatError` for other types, and for more than `countMax`.
    package func integers(_ key: String, countMax: Int) throws(FormatError) -> [Int]? {
        guard let entry = entry(key) else { return nil }
        guard entry.type == .array else { return try integer(key).map { [$0] } }
        guard let type = entry.elementType, type.isInteger || type == .bool,
            let size = type.byteCount
        else {
            throw mismatch(entry, "an integer or a list of integers")
        }
        guard entry.count <= UInt64(countMax) else {
            throw error(
                entry, expected: "at most \(countMax) integers in \(key)", found: "\(entry.count)")
        }
        var reader = reader(entry)
        var values: [Int] = []
        for _ in 0..<entry.count {
            let bits = try reader.bits(size)
            values.append(try checked(type.integer(bits), entry, Int.min...Int.max))
        }
        return values
    }

    /// One 32-bit float or a list of them; nil where the key is absent.
    ///
    /// - Throws: `FormatError` for other types, and for more than `countMax`.
    package func floats(_ key: String, countMax: Int) throws(FormatError) -> [Float]? {
        guard let entry = entry(key) else { return nil }
        if entry.type == .float32 {
            return [Float(bitPattern: UInt32(truncatingIfNeeded: entry.bits))]
        }
        guard entry.type == .array, entry.elementType == .float32 else {
            throw mismatch(entry, "a 32-bit float or a list of them")
        }
        guard entry.count <= UInt64(countMax) else {
            throw error(
                entry, expected: "at most \(countMax) floats in \(key)", found: "\(entry.count)")
        }
        var reader = reader(entry)
        var values: [Float] = []
        for _ in 0..<entry.count {
            values.append(Float(bitPattern: UInt32(truncatingIfNeeded: try reader.bits(4))))
        }
        return values
    }

    /// A finite number inside `range`, or nil where the key is absent.
    package func float(
        _ key: String, in range: ClosedRange<Float>
    ) throws(FormatError) -> Float? {
        guard let entry = entry(key) else { return nil }
        let value: Float
        switch entry.type {
        case .float32: value = Float(bitPattern: UInt32(truncatingIfNeeded: entry.bits))
        case .float64: value = Float(Double(bitPattern: entry.bits))
        default: throw mismatch(entry, "a floating-point number")
        }
        guard value.isFinite, range.contains(value) else {
            throw error(
                entry, expected: "\(key) in \(range.lowerBound)...\(range.upperBound)",
                found: "\(value)")
        }
        return value
    }

    package func bool(_ key: String) throws(FormatError) -> Bool? {
        guard let entry = entry(key) else { return nil }
        guard entry.type == .bool else { throw mismatch(entry, "a bool") }
        return entry.bits == 1
    }

    /// A string, or nil where the key is absent.
    ///
    /// - Throws: `FormatError` for other types, invalid UTF-8, and more than 1 MiB.
    package func string(_ key: String) throws(FormatError) -> String? {
        guard let entry = entry(key) else { return nil }
        guard entry.type == .string else { throw mismatch(entry, "a string") }
        if let text = texts[key] { return text }
        let length = entry.payload.upperBound - entry.payload.lowerBound
        guard length <= UInt64(GGUFLimits.textBytes) else {
            throw error(
                entry, expected: "\(key) of at most \(GGUFLimits.textBytes) bytes",
                found: "\(length)")
        }
        var reader = reader(entry)
        let bytes = try reader.bytes(Int(length), "the string")
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error(entry, expected: "UTF-8 in \(key)", found: "an invalid sequence")
        }
        return text
    }

    /// A reader over an array's elements or a string's bytes.
    func reader(_ entry: Entry) -> GGUFReader {
        var reader = GGUFReader(source, range: entry.payload)
        reader.context = entry.key
        return reader
    }

    package func missing(_ key: String) -> FormatError {
        FormatError(
            file: source.name, expected: "the metadata key \(shown(key))", found: "none")
    }

    func mismatch(_ entry: Entry, _ expected: String) -> FormatError {
        error(entry, expected: "\(entry.key) to be \(expected)", found: entry.typeName)
    }

    func error(_ entry: Entry, expected: String, found: String) -> FormatError {
        FormatError(
            file: source.name, offset: entry.payload.lowerBound, expected: expected, found: found)
    }

    private func checked(
        _ value: Int?, _ entry: Entry, _ range: ClosedRange<Int>
    ) throws(FormatError) -> Int {
        guard let value, range.contains(value) else {
            throw error(
                entry, expected: "\(entry.key) in \(range.lowerBound)...\(range.upperBound)",
                found: value.map(String.init) ?? "\(entry.bits)")
        }
        return value
    }
}

extension GGUFReader {
    /// The next `size` bytes (1, 2, 4 or 8) as an unsigned number.
    mutating func bits(_ size: UInt64) throws(FormatError) -> UInt64 {
        switch size {
        case 1: UInt64(try integer("a value", as: UInt8.self))
        case 2: UInt64(try integer("a value", as: UInt16.self))
        case 4: UInt64(try integer("a value", as: UInt32.self))
        default: try integer("a value", as: UInt64.self)
        }
    }
}
