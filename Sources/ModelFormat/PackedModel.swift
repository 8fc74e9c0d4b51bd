// Opens a packed file: header, manifest, and the extents that are read whole. Streaming extents
// (matrices, experts) are read by the weight store from the manifest's records.

internal import JSON

/// A packed file whose header and manifest were read and found consistent. Its extents' bytes are
/// verified when they are read.
package struct PackedModel: Sendable {
    /// What messages call the file.
    package let fileName: String
    package let fileByteCount: UInt64
    package let manifest: PackedManifest
    /// Identity, not security: the file it was imported from, how long this one is, and the
    /// checksum of all that its manifest says.
    package let identity: String
    /// What opens the file's bytes; nil where they are as they are.
    package let seal: ModelSeal?

    /// Reads and validates the header and the manifest of `source`.
    ///
    /// - Parameter keys: where the file's key is, should it be encrypted.
    /// - Throws: `FormatError` when the file is not a packed file of this version, is cut short or
    ///   damaged, when no key opens it, or when its manifest contradicts itself.
    package init(
        source: any ByteSource, keys: ModelKeySource = .standard
    ) throws(FormatError) {
        let header = try PackedHeader(source: source)
        fileName = source.name
        fileByteCount = header.fileByteCount
        var bytes = try source.packedBytes(
            at: header.manifest.offset, count: header.manifest.byteCount)
        try Self.verify(Checksum.of(bytes[...]), header.manifest, file: fileName, "the manifest")
        let key = try header.encryption?.open(&bytes, of: header, file: fileName, keys: keys)
        manifest = try PackedManifest(json: bytes, file: fileName, offset: header.manifest.offset)
        guard manifest.formatVersion == header.version else {
            throw FormatError(
                file: fileName, offset: header.manifest.offset,
                expected: "a manifest of format version \(header.version), as the header says",
                found: "\(manifest.formatVersion)")
        }
        try manifest.validate(
            file: fileName,
            dataEnd: header.encryption?.tagsOffset ?? header.manifest.offset)
        seal = try header.encryption?.seal(manifest, key: key ?? [], source: source)
        identity = [
            manifest.source.digest, "\(fileByteCount)", header.manifest.checksum.hexadecimal
        ].joined(separator: " ")
    }

    /// - Throws: `FormatError` when the file is encrypted, and so cannot be changed.
    package func checkIsPlain() throws(FormatError) {
        guard seal == nil else {
            throw FormatError(
                file: fileName, expected: "a model that can be changed",
                found: "an encrypted one; calibrate the plain one, then encrypt that")
        }
    }

    /// The file as it would be without encryption.
    package func plain(_ source: any ByteSource) -> any ByteSource {
        guard let seal, !(source is OpenedByteSource) else { return source }
        return OpenedByteSource(source, seal)
    }

    /// Reads `extent` into `buffer`, which has its size, and verifies it.
    ///
    /// - Throws: `FormatError` when reading fails or the bytes are not those that were written.
    package func read(
        _ extent: PackedExtent, from source: any ByteSource, into buffer: inout MutableRawSpan,
        _ what: @autoclosure () -> String = "an extent"
    ) throws(FormatError) {
        precondition(buffer.byteCount == extent.byteCount, "one extent, one buffer")
        try plain(source).read(at: extent.offset, into: &buffer)
        try Self.verify(Checksum.of(buffer.bytes), extent, file: fileName, what())
    }

    /// The checksums of a table's pages, in page order; none where the model has no such table.
    package func checksums(
        of table: RowTable, from source: any ByteSource
    ) throws(FormatError) -> [UInt32] {
        guard let extent = manifest[table]?.pageChecksums else { return [] }
        var checksums = [UInt32](repeating: 0, count: extent.byteCount / 4)
        var span = checksums.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(extent, from: source, into: &raw, "the checksums of the \(table.name)")
        return checksums.map { UInt32(littleEndian: $0) }
    }

    /// The vocabulary.
    ///
    /// - Throws: `FormatError` also when it is not one token per embedding.
    package func vocabulary(from source: any ByteSource) throws(FormatError) -> Vocabulary {
        let vocabulary = try Vocabulary(packed: manifest.vocabulary, source: plain(source))
        let count = manifest.shape.vocabularySize
        guard vocabulary.tokens.count == count else {
            throw FormatError(
                file: fileName, offset: manifest.vocabulary.offset,
                expected: "a vocabulary of \(count) tokens", found: "\(vocabulary.tokens.count)")
        }
        return vocabulary
    }

    /// Compares the checksum of bytes that were read with their extent's.
    ///
    /// - Throws: `FormatError` naming the file and the extent's offset.
    package static func verify(
        _ checksum: UInt32, _ extent: PackedExtent, file: String,
        _ what: @autoclosure () -> String
    ) throws(FormatError) {
        guard checksum == extent.checksum else {
            throw FormatError(
                file: file, offset: extent.offset,
                expected: "checksum \(extent.checksum.hexadecimal) of \(what())",
                found: checksum.hexadecimal)
        }
    }
}

extension UInt32 {
    /// Eight lowercase hexadecimal digits.
    package var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

extension PackedManifest {
    /// Parses a manifest; ``validate(file:dataEnd:)`` decides whether to believe it.
    ///
    /// - Throws: `FormatError` when the text is not a manifest, or would take a parser more memory
    ///   than a manifest needs.
    package init(json: [UInt8], file: String, offset: UInt64) throws(FormatError) {
        try Self.checkSize(json, file: file, offset: offset)
        do {
            self = try JSONParser.parse(json).decoded(as: PackedManifest.self)
        } catch {
            throw FormatError(
                file: file, offset: offset, expected: "a manifest", found: Self.describe(error))
        }
    }

    /// The manifest as it is written: keys sorted, so that equal models give equal bytes.
    ///
    /// - Throws: `FormatError` when a number has no JSON form (not a number, infinite).
    package func encodedJSON(file: String) throws(FormatError) -> [UInt8] {
        do {
            return try JSONValue(encoding: self).text()
        } catch {
            throw FormatError(
                file: file, expected: "numbers that JSON can hold", found: Self.describe(error))
        }
    }

    /// Bounds what a JSON parser will allocate before it sees the text.
    private static func checkSize(
        _ json: [UInt8], file: String, offset: UInt64
    ) throws(FormatError) {
        var punctuation = 0
        var depth = 0
        var depthMax = 0
        var inString = false
        var escaped = false
        for byte in json {
            if inString {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                punctuation += 1
                depth += 1
                depthMax = max(depthMax, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ","), UInt8(ascii: ":"): punctuation += 1
            default: break
            }
        }
        guard punctuation <= PackedLimits.manifestPunctuationMax,
            depthMax <= PackedLimits.manifestDepthMax
        else {
            throw FormatError(
                file: file, offset: offset,
                expected: "a manifest of at most \(PackedLimits.manifestPunctuationMax) values "
                    + "nested at most \(PackedLimits.manifestDepthMax) deep",
                found: "\(punctuation), \(depthMax) deep")
        }
    }

    /// A decoding error on one line of bounded length.
    private static func describe(_ error: any Error) -> String {
        var place = ""
        var reason = "\(error)"
        if let error = error as? DecodingError {
            let context: DecodingError.Context
            switch error {
            case .typeMismatch(_, let found), .valueNotFound(_, let found),
                .keyNotFound(_, let found), .dataCorrupted(let found):
                context = found
            @unknown default:
                return "an unreadable one"
            }
            reason = context.debugDescription
            for key in context.codingPath {
                place +=
                    key.intValue.map { "[\($0)]" } ?? (place.isEmpty ? "" : ".") + key.stringValue
            }
        }
        let text = place.isEmpty ? reason : "\(place): \(reason)"
        let line = text.unicodeScalars.prefix(200).map { scalar in
            scalar.properties.generalCategory == .control ? " " : Character(scalar)
        }
        return String(line)
    }
}
