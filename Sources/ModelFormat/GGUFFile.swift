// A GGUF model, in one file or several parts, as one directory of metadata and tensors. Owns the
// checks between parts. Refuses what it cannot read in full; never guesses.

/// A GGUF model opened for reading. Holds directories, not data: megabytes at most, whatever the
/// model's size.
package struct GGUFFile: Sendable {
    /// The first part's version: 2 or 3.
    package let version: UInt32
    /// The first part's alignment of tensor data, in bytes.
    package let alignment: UInt64
    /// The first part's metadata, where a split model keeps everything but the tensor lists.
    package let metadata: GGUFMetadata
    /// In file order, all parts.
    package let tensors: [GGUFTensor]
    private let places: [String: Int]
    private let parts: [any ByteSource]

    /// Reads the headers of a model's parts, the first part first.
    ///
    /// - Throws: `FormatError` when a header is malformed or the parts do not belong together.
    /// - Precondition: `parts` is not empty.
    package init(parts: [any ByteSource]) throws(FormatError) {
        precondition(!parts.isEmpty, "a model has at least one part")
        let first = try GGUFHeader(parts[0], part: 0)
        try Self.checkPart(first.metadata, index: 0, count: parts.count)
        var tensors = first.tensors
        for index in parts.indices.dropFirst() {
            let header = try GGUFHeader(parts[index], part: index)
            try Self.checkPart(header.metadata, index: index, count: parts.count)
            tensors += header.tensors
            guard tensors.count <= GGUFLimits.tensorCount else {
                throw FormatError(
                    file: parts[index].name,
                    expected: "at most \(GGUFLimits.tensorCount) tensors in all parts",
                    found: "\(tensors.count)")
            }
        }
        if let count = try first.metadata.integer("split.tensors.count"), count != tensors.count {
            throw FormatError(
                file: parts[0].name, expected: "\(count) tensors in all parts",
                found: "\(tensors.count)")
        }
        version = first.version
        alignment = first.alignment
        metadata = first.metadata
        try Self.checkTotal(tensors, file: parts[0].name)
        places = try Self.places(tensors, parts)
        self.tensors = tensors
        self.parts = parts
    }

    /// The same parts, described otherwise, or with others behind them.
    private init(
        _ other: GGUFFile, parts: [any ByteSource], metadata: GGUFMetadata, tensors: [GGUFTensor]
    ) throws(FormatError) {
        version = other.version
        alignment = other.alignment
        self.parts = parts
        self.metadata = metadata
        self.tensors = tensors
        places = try Self.places(tensors, parts)
    }

    func with(
        metadata: GGUFMetadata, tensors: [GGUFTensor]
    ) throws(FormatError) -> GGUFFile {
        try GGUFFile(self, parts: parts, metadata: metadata, tensors: tensors)
    }

    /// The same with other tensors, some of them in `part` behind the file's own.
    package func with(
        part: any ByteSource, tensors: [GGUFTensor]
    ) throws(FormatError) -> GGUFFile {
        try GGUFFile(self, parts: parts + [part], metadata: metadata, tensors: tensors)
    }

    package func tensor(named name: String) -> GGUFTensor? { places[name].map { tensors[$0] } }

    /// Fills `buffer` with the tensor's bytes from `byteOffset` on.
    ///
    /// - Throws: `FormatError` when the range is not inside the tensor or cannot be read.
    package func read(
        _ tensor: GGUFTensor, at byteOffset: Int, into buffer: inout MutableRawSpan
    ) throws(FormatError) {
        let length = buffer.byteCount
        guard byteOffset >= 0, byteOffset <= tensor.byteCount,
            length <= tensor.byteCount - byteOffset, parts.indices.contains(tensor.part)
        else {
            throw FormatError(
                file: parts[0].name,
                expected: "bytes inside the \(tensor.byteCount) of \(shown(tensor.name))",
                found: "\(length) from \(byteOffset)")
        }
        let source = parts[tensor.part]
        try source.read(at: tensor.offset + UInt64(byteOffset), into: &buffer)
    }

    /// What the model calls itself (`general.name`), where that is readable text.
    package func modelName() -> String? {
        // A broken name is no reason to refuse a model.
        (try? metadata.string("general.name")) ?? nil
    }

    /// Bounds the sum of all tensors' bytes, so that no later sum can overflow.
    private static func checkTotal(_ tensors: [GGUFTensor], file: String) throws(FormatError) {
        let limit = 1 << 60
        var total = 0
        for tensor in tensors {
            guard tensor.byteCount <= limit - total else {
                throw FormatError(
                    file: file, expected: "at most \(limit) bytes of tensors in all parts",
                    found: "more, with \(shown(tensor.name))")
            }
            total += tensor.byteCount
        }
    }

    /// Names are unique over all parts.
    private static func places(
        _ tensors: [GGUFTensor], _ parts: [any ByteSource]
    ) throws(FormatError) -> [String: Int] {
        var places: [String: Int] = [:]
        for (index, tensor) in tensors.enumerated() {
            if let other = places.updateValue(index, forKey: tensor.name) {
                throw FormatError(
                    file: parts[tensor.part].name, expected: "each tensor in one part",
                    found: "\(shown(tensor.name)) in part \(tensors[other].part + 1) too")
            }
        }
        return places
    }
}

// MARK: - Parts

extension GGUFFile {
    /// The names of a model's other parts, in order, as the first part tells them: empty for a
    /// model of one file.
    ///
    /// - Throws: `FormatError` when the header is malformed, when this is not the first part, or
    ///   when the source's name is not that of a first part.
    package static func partNames(of first: any ByteSource) throws(FormatError) -> [String] {
        let metadata = try GGUFHeader(first, part: 0).metadata
        let count = try partCount(metadata)
        try checkPart(metadata, index: 0, count: count)
        return count == 1 ? [] : try partNames(first: first.name, count: count)
    }

    /// What a file begins with whose weights an import is consuming.
    package static let consumedMagic = "CONS"
    /// What to do about such a file.
    package static let consumedAdvice =
        "an import with --consume has taken part of it; the same command, as it was, goes on"

    /// How many parts a model has, as any of its parts says.
    ///
    /// - Throws: `FormatError` when the header is malformed.
    package static func partCount(of part: any ByteSource) throws(FormatError) -> Int {
        try partCount(try GGUFHeader(part, part: 0).metadata)
    }

    /// Whether a file begins as GGUF files do, whatever it is called.
    package static func isGGUF(_ source: any ByteSource) -> Bool {
        guard let bytes = try? source.packedBytes(at: 0, count: 4) else { return false }
        return bytes == Array("GGUF".utf8)
    }

    /// The names of the other parts of a model of `count` parts: `NAME-00002-of-00003.gguf` and so
    /// on for `NAME-00001-of-00003.gguf`. `first` may be a path.
    ///
    /// - Throws: `FormatError` when `first` does not follow that pattern or is a later part's name.
    package static func partNames(first: String, count: Int) throws(FormatError) -> [String] {
        let ending = "-00001-of-\(padded(count)).gguf"
        guard first.lowercased().hasSuffix(ending) else {
            throw FormatError(
                file: first, expected: "the first part, a name that ends in \(ending)",
                found: "another name")
        }
        guard count > 1 else { return [] }
        let base = first.dropLast(ending.count)
        let suffix = first.suffix(".gguf".count)
        return (2...count).map { "\(base)-\(padded($0))-of-\(padded(count))\(suffix)" }
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    private static func partCount(_ metadata: GGUFMetadata) throws(FormatError) -> Int {
        // Writers that do not split leave the key out or write 0.
        max(1, try metadata.integer("split.count", in: 0...GGUFLimits.partCount) ?? 1)
    }

    /// Checks `split.count` and `split.no` against the part's place.
    private static func checkPart(
        _ metadata: GGUFMetadata, index: Int, count: Int
    ) throws(FormatError) {
        let declared = try partCount(metadata)
        let number = try metadata.integer("split.no", in: 0...GGUFLimits.partCount)
        guard (number ?? 0) == index, index == 0 || number != nil else {
            throw FormatError(
                file: metadata.source.name, expected: "part \(index + 1) of a split model",
                found: number.map { "part \($0 + 1)" } ?? "no part number (split.no)")
        }
        guard declared == count else {
            throw FormatError(
                file: metadata.source.name,
                expected: declared == 1
                    ? "a model of one file" : "\(declared) parts (split.count)",
                found: "\(count)")
        }
    }
}
