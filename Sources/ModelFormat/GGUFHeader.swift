// The header of one GGUF part: magic, version, metadata directory, tensor table. Written for
// hostile input: every count is checked against the bytes that remain before anything is stored,
// every sum and product is checked for overflow. Layout: GGUF specification, versions 2 and 3.

/// One parsed part.
struct GGUFHeader {
    let version: UInt32
    let alignment: UInt64
    let metadata: GGUFMetadata
    let tensors: [GGUFTensor]

    /// Parses and checks a part's header.
    ///
    /// - Throws: `FormatError` saying what is wrong and where.
    init(_ source: any ByteSource, part: Int) throws(FormatError) {
        let end = min(source.byteCount, GGUFLimits.headerBytes)
        var reader = GGUFReader(source, range: 0..<end)
        version = try reader.version()
        // Name length, one letter, dimension count, one dimension, type, offset.
        let tensorCount = try reader.count(
            of: "tensors", bytesEach: 33, limit: GGUFLimits.tensorCount)
        // Key length, one letter, type, one byte.
        let metadataCount = try reader.count(
            of: "metadata keys", bytesEach: 14, limit: GGUFLimits.metadataCount)
        metadata = try reader.metadata(count: Int(metadataCount))
        alignment = try Self.alignment(metadata)

        var declared: [DeclaredTensor] = []
        for _ in 0..<tensorCount { declared.append(try reader.tensor()) }
        let data = try Self.dataStart(reader, alignment: alignment)
        let place = DataPlace(source: source, part: part, start: data, alignment: alignment)
        tensors = try place.tensors(declared)
    }

    /// `general.alignment`: a `uint32`, as the specification has it; 32 where absent.
    private static func alignment(_ metadata: GGUFMetadata) throws(FormatError) -> UInt64 {
        guard let entry = metadata.entry("general.alignment") else { return 32 }
        guard entry.type == .uint32 else { throw metadata.mismatch(entry, "a uint32") }
        let value = entry.bits
        guard value > 0, value & (value - 1) == 0, value <= GGUFLimits.alignmentMax else {
            throw metadata.error(
                entry,
                expected: "general.alignment to be a power of two up to \(GGUFLimits.alignmentMax)",
                found: "\(value)")
        }
        return value
    }

    private static func dataStart(
        _ reader: GGUFReader, alignment: UInt64
    ) throws(FormatError) -> UInt64 {
        let (padded, overflow) = reader.offset.addingReportingOverflow(alignment - 1)
        guard !overflow else {
            throw reader.error(expected: "an offset that can be aligned", found: "an overflow")
        }
        return padded & ~(alignment - 1)
    }
}

/// A tensor as its table entry declares it, before its place in the file is known to exist.
struct DeclaredTensor {
    let name: String
    let type: GGUFType
    let dimensions: [Int]
    let byteCount: Int
    /// From the start of the part's data.
    let offset: UInt64
    /// Where the table entry is, for messages.
    let place: UInt64
}

extension GGUFReader {
    /// Checks magic and version.
    fileprivate mutating func version() throws(FormatError) -> UInt32 {
        let magic = try integer("the magic", as: UInt32.self)
        guard magic == 0x4655_4747 else {
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: magic >> (8 * $0)) }
            let letters = String(decoding: bytes, as: UTF8.self)
            throw error(
                at: 0, expected: "a GGUF file (magic 'GGUF')",
                found: letters == GGUFFile.consumedMagic
                    ? "what is left of one: \(GGUFFile.consumedAdvice)" : shown(letters))
        }
        let version = try integer("the version", as: UInt32.self)
        switch version {
        case 2, 3: return version
        case 1:
            throw error(at: 4, expected: "GGUF version 2 or 3", found: "version 1, an old layout")
        case _ where version & 0xFFFF == 0 && version != 0:
            throw error(
                at: 4, expected: "a little-endian GGUF file",
                found: "a big-endian one (version \(version.byteSwapped), byte-swapped)")
        default: throw error(at: 4, expected: "GGUF version 2 or 3", found: "version \(version)")
        }
    }

    fileprivate mutating func metadata(count: Int) throws(FormatError) -> GGUFMetadata {
        var entries: [GGUFMetadata.Entry] = []
        var places: [String: Int] = [:]
        for index in 0..<count {
            context = "metadata key \(index)"
            let start = offset
            let key = try name("a key's length", limit: GGUFLimits.keyBytes)
            guard places.updateValue(index, forKey: key) == nil else {
                throw error(
                    at: start, expected: "each metadata key once", found: "\(shown(key)) again")
            }
            context = shown(key)
            entries.append(try entry(key))
        }
        context = "the tensor table"
        return GGUFMetadata(source: source, entries: entries, places: places)
    }

    /// A key or a tensor's name: not empty, valid UTF-8.
    private mutating func name(_ what: String, limit: Int) throws(FormatError) -> String {
        let start = offset
        let length = try length("\(what) in \(context)", limit: limit)
        guard length > 0 else {
            throw error(at: start, expected: "\(what) above 0 in \(context)", found: "0")
        }
        let bytes = try bytes(length, "a name")
        guard let name = String(validating: bytes, as: UTF8.self) else {
            throw error(at: start, expected: "UTF-8 in \(context)", found: "an invalid sequence")
        }
        return name
    }

    private mutating func valueType(_ what: String) throws(FormatError) -> GGUFValueType {
        let start = offset
        let number = try integer(what, as: UInt32.self)
        guard let type = GGUFValueType(rawValue: number) else {
            throw error(at: start, expected: "\(what) of 0...12 in \(context)", found: "\(number)")
        }
        return type
    }

    /// One value: kept when it is a number, walked over otherwise.
    private mutating func entry(_ key: String) throws(FormatError) -> GGUFMetadata.Entry {
        let type = try valueType("a value type")
        var elementType: GGUFValueType?
        var count: UInt64 = 1
        var bits: UInt64 = 0
        var start = offset
        switch type {
        case .array:
            (elementType, count, start) = try array()
        case .string:
            let length = try length("a string's length in \(context)", limit: Int.max)
            start = offset
            try skip(UInt64(length), "the string")
        case .bool: bits = try boolean()
        default: bits = try self.bits(type.byteCountMin)
        }
        return GGUFMetadata.Entry(
            key: key, type: type, elementType: elementType, count: count, bits: bits,
            payload: start..<offset)
    }

    /// Walks over an array, and says of what, how many and from where.
    private mutating func array() throws(FormatError) -> (GGUFValueType, UInt64, UInt64) {
        let place = offset
        let type = try valueType("an array's element type")
        guard type != .array else {
            throw error(
                at: place, expected: "an array of numbers or strings in \(context)",
                found: "an array of arrays")
        }
        let count = try count(of: "elements", bytesEach: type.byteCountMin)
        let start = offset
        switch type {
        case .string:
            for _ in 0..<count {
                let length = try integer("a string's length", as: UInt64.self)
                try skip(length, "a string")
            }
        case .bool:
            for _ in 0..<count { _ = try boolean() }
        default:
            // The count was checked against what remains, so this cannot overflow.
            try skip(count * type.byteCountMin, "the elements")
        }
        return (type, count, start)
    }

    private mutating func boolean() throws(FormatError) -> UInt64 {
        let start = offset
        let byte = try integer("a bool", as: UInt8.self)
        guard byte <= 1 else {
            throw error(at: start, expected: "a bool of 0 or 1 in \(context)", found: "\(byte)")
        }
        return UInt64(byte)
    }

    fileprivate mutating func tensor() throws(FormatError) -> DeclaredTensor {
        let place = offset
        context = "the tensor table"
        let name = try name("a tensor name's length", limit: GGUFLimits.tensorNameBytes)
        context = shown(name)
        let dimensions = try dimensions()
        let typePlace = offset
        let number = try integer("the type", as: UInt32.self)
        guard let type = GGUFType(number: number) else {
            throw error(
                at: typePlace, expected: "a type out of \(GGUFType.names) in \(context)",
                found: GGUFType.name(number))
        }
        guard dimensions[0] % type.blockElements == 0 else {
            throw error(
                at: place,
                expected: "rows of whole \(type.blockElements)-element blocks in \(context)",
                found: "\(dimensions[0]) columns")
        }
        let dataOffset = try integer("the offset", as: UInt64.self)
        var byteCount = dimensions[0] / type.blockElements
        for factor in [type.blockBytes] + dimensions.dropFirst() {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: factor)
            guard !overflow else { throw tooBig(dimensions, at: place) }
            byteCount = product
        }
        return DeclaredTensor(
            name: name, type: type, dimensions: dimensions, byteCount: byteCount,
            offset: dataOffset, place: place)
    }

    /// 1 to 4 dimensions whose product fits.
    private mutating func dimensions() throws(FormatError) -> [Int] {
        let place = offset
        let count = try integer("the number of dimensions", as: UInt32.self)
        guard (1...4).contains(count) else {
            throw error(at: place, expected: "1 to 4 dimensions in \(context)", found: "\(count)")
        }
        var dimensions: [Int] = []
        var product = 1
        for _ in 0..<count {
            let start = offset
            let length = try integer("a dimension", as: UInt64.self)
            guard length > 0, let dimension = Int(exactly: length) else {
                throw error(
                    at: start, expected: "a dimension of 1...\(Int.max) in \(context)",
                    found: "\(length)")
            }
            dimensions.append(dimension)
            let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
            guard !overflow else { throw tooBig(dimensions, at: place) }
            product = next
        }
        return dimensions
    }

    private func tooBig(_ dimensions: [Int], at place: UInt64) -> FormatError {
        let shape = dimensions.map(String.init).joined(separator: " x ")
        return error(
            at: place, expected: "a size that fits the file in \(context)", found: "\(shape)")
    }
}

/// Where a part's tensor data is.
private struct DataPlace {
    let source: any ByteSource
    let part: Int
    let start: UInt64
    let alignment: UInt64

    /// Places every declared tensor in the file.
    ///
    /// - Throws: `FormatError` when one is misaligned, outside the file, or over another, or when
    ///   two have one name.
    func tensors(_ declared: [DeclaredTensor]) throws(FormatError) -> [GGUFTensor] {
        var names: Set<String> = []
        var tensors: [GGUFTensor] = []
        for tensor in declared {
            guard names.insert(tensor.name).inserted else {
                throw error(
                    tensor, expected: "each tensor once", found: "\(shown(tensor.name)) again")
            }
            tensors.append(try placed(tensor))
        }
        try refuseOverlaps(declared)
        return tensors
    }

    private func placed(_ tensor: DeclaredTensor) throws(FormatError) -> GGUFTensor {
        guard tensor.offset % alignment == 0 else {
            throw error(
                tensor, expected: "an offset that is a multiple of \(alignment)",
                found: "\(tensor.offset) for \(shown(tensor.name))")
        }
        let (first, overflow) = start.addingReportingOverflow(tensor.offset)
        guard !overflow, first <= source.byteCount,
            UInt64(tensor.byteCount) <= source.byteCount - first
        else {
            let found =
                "\(source.byteCount) for the \(tensor.byteCount) bytes of "
                + "\(shown(tensor.name)) at data offset \(tensor.offset)"
            throw error(tensor, expected: "a file that holds its tensors", found: found)
        }
        return GGUFTensor(
            name: tensor.name, type: tensor.type, dimensions: tensor.dimensions, part: part,
            offset: first, byteCount: tensor.byteCount)
    }

    /// - Precondition: every tensor is inside the file, so sums of offsets and sizes fit.
    private func refuseOverlaps(_ declared: [DeclaredTensor]) throws(FormatError) {
        let sorted = declared.sorted { $0.offset < $1.offset }
        for (tensor, next) in zip(sorted, sorted.dropFirst())
        where tensor.offset + UInt64(tensor.byteCount) > next.offset {
            throw error(
                next, expected: "tensors that do not overlap",
                found: "\(shown(next.name)) over \(shown(tensor.name))")
        }
    }

    private func error(
        _ tensor: DeclaredTensor, expected: String, found: String
    ) -> FormatError {
        FormatError(file: source.name, offset: tensor.place, expected: expected, found: found)
    }
}
