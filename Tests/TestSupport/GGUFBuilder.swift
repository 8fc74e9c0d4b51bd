// Hand-made GGUF files, valid or not, and the places of a valid file's fields. Independent of the
// parser under test. Only for bytes that tests make or have committed.

/// Writes a GGUF file from parts that may contradict each other.
package struct GGUFBuilder: Sendable {
    /// Value types by their numbers in the file.
    package enum Kind: UInt32, Sendable {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array
        case uint64, int64, float64
    }

    package var magic: [UInt8] = Array("GGUF".utf8)
    package var version: UInt32 = 3
    /// What the header claims; the true counts when nil.
    package var claimedTensorCount: UInt64?
    package var claimedMetadataCount: UInt64?
    package var alignment = 32
    /// Tensor data. Filled up to what the tensors need only by the caller.
    package var data: [UInt8] = []
    private var metadata: [UInt8] = []
    private var metadataCount: UInt64 = 0
    private var table: [UInt8] = []
    private var tensorCount: UInt64 = 0

    package init() {}

    package static func number(_ value: some FixedWidthInteger) -> [UInt8] {
        (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    package static func string(_ text: String) -> [UInt8] {
        number(UInt64(text.utf8.count)) + Array(text.utf8)
    }

    /// A key with a value of any type number, its bytes as they are.
    package mutating func add(_ key: String, type: UInt32, bytes: [UInt8]) {
        addRaw(Self.string(key) + Self.number(type) + bytes)
    }

    /// An entry's bytes as they are.
    package mutating func addRaw(_ bytes: [UInt8]) {
        metadata += bytes
        metadataCount += 1
    }

    package mutating func add(_ key: String, _ value: String) {
        add(key, type: Kind.string.rawValue, bytes: Self.string(value))
    }

    package mutating func add(_ key: String, _ value: UInt32) {
        add(key, type: Kind.uint32.rawValue, bytes: Self.number(value))
    }

    package mutating func add(_ key: String, _ value: Float) {
        add(key, type: Kind.float32.rawValue, bytes: Self.number(value.bitPattern))
    }

    package mutating func add(_ key: String, _ value: Bool) {
        add(key, type: Kind.bool.rawValue, bytes: [value ? 1 : 0])
    }

    package mutating func add(_ key: String, _ strings: [String]) {
        addArray(
            key, of: Kind.string.rawValue, count: UInt64(strings.count),
            bytes: strings.flatMap(Self.string))
    }

    package mutating func add(_ key: String, _ flags: [Bool]) {
        addArray(
            key, of: Kind.bool.rawValue, count: UInt64(flags.count), bytes: flags.map { $0 ? 1 : 0 }
        )
    }

    package mutating func add(_ key: String, _ numbers: [Int32]) {
        addArray(
            key, of: Kind.int32.rawValue, count: UInt64(numbers.count),
            bytes: numbers.flatMap { Self.number($0) })
    }

    package mutating func add(_ key: String, _ numbers: [Float]) {
        addArray(
            key, of: Kind.float32.rawValue, count: UInt64(numbers.count),
            bytes: numbers.flatMap { Self.number($0.bitPattern) })
    }

    /// An array whose element type and count are what the caller claims.
    package mutating func addArray(_ key: String, of type: UInt32, count: UInt64, bytes: [UInt8]) {
        add(
            key, type: Kind.array.rawValue,
            bytes: Self.number(type) + Self.number(count) + bytes)
    }

    /// A tensor table entry. `type` is a `ggml_type` (0: F32), `offset` counts from the data's
    /// start.
    package mutating func addTensor(
        _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0,
        claimedDimensionCount: UInt32? = nil
    ) {
        table += Self.string(name)
        table += Self.number(claimedDimensionCount ?? UInt32(dimensions.count))
        table += dimensions.flatMap { Self.number($0) }
        table += Self.number(type) + Self.number(offset)
        tensorCount += 1
    }

    package func bytes() -> [UInt8] {
        var result = magic + Self.number(version)
        result += Self.number(claimedTensorCount ?? tensorCount)
        result += Self.number(claimedMetadataCount ?? metadataCount)
        result += metadata + table
        if !data.isEmpty {
            while result.count % alignment != 0 { result.append(0) }
            result += data
        }
        return result
    }
}

/// Finds a valid little-endian GGUF file's fields.
package struct GGUFFields {
    /// Every field of the header in file order; of long arrays the first few elements.
    package private(set) var fields: [FileField] = []
    /// Where the header ends.
    package private(set) var headerBytes = 0
    private let bytes: [UInt8]
    private var offset = 0

    /// - Precondition: the file is valid.
    package init(of bytes: [UInt8], arrayElementsMax: Int = 4) {
        self.bytes = bytes
        _ = take("magic", 4)
        _ = take("version", 4)
        let tensorCount = take("tensor count", 8)
        let metadataCount = take("metadata count", 8)
        for index in 0..<metadataCount { entry("key \(index)", arrayElementsMax) }
        for index in 0..<tensorCount {
            let name = "tensor \(index)"
            string(name + " name")
            for dimension in 0..<take(name + " dimension count", 4) {
                _ = take(name + " dimension \(dimension)", 8)
            }
            _ = take(name + " type", 4)
            _ = take(name + " offset", 8)
        }
        headerBytes = offset
    }

    private mutating func take(_ name: String, _ count: Int, listed: Bool = true) -> Int {
        if listed { fields.append(FileField(name: name, offset: offset, byteCount: count)) }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[offset + index]) << (8 * index) }
        offset += count
        return Int(truncatingIfNeeded: value)
    }

    private mutating func string(_ name: String, listed: Bool = true) {
        let length = take(name + " length", 8, listed: listed)
        if listed, length > 0 {
            fields.append(FileField(name: name, offset: offset, byteCount: length))
        }
        offset += length
    }

    private mutating func entry(_ name: String, _ elementsMax: Int) {
        string(name)
        let type = take(name + " type", 4)
        if type == 9 {
            let elementType = take(name + " element type", 4)
            for index in 0..<take(name + " element count", 8) {
                value(name + " element \(index)", elementType, listed: index < elementsMax)
            }
        } else {
            value(name + " value", type, listed: true)
        }
    }

    private mutating func value(_ name: String, _ type: Int, listed: Bool) {
        if type == 8 { return string(name, listed: listed) }
        let sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
        _ = take(name, sizes[type], listed: listed)
    }
}
