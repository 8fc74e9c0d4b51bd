// Encrypts a packed file: the same extents at the same places, each unit under its own tag, in a
// new file. docs/FORMAT.md, "Encrypted files", is the result.

internal import LinuxSystem
package import ModelFormat

/// A packed file that is to be encrypted.
package struct ModelEncryption {
    /// Whole units of about this many bytes are encrypted together.
    private static let pieceBytes = 4 << 20

    private let source: FileByteSource
    private let model: PackedModel
    private let units: SealedUnits
    /// Where the plain file's manifest begins.
    private let dataEnd: UInt64

    /// Reads the directory of the plain file at `path`.
    ///
    /// - Throws: `PackingError` when it cannot be read, or is encrypted already.
    package init(path: String) throws(PackingError) {
        let opened = try openedSource(path)
        source = opened
        (model, units, dataEnd) = try fromSource { () throws(FormatError) in
            let header = try PackedHeader(source: opened)
            guard header.encryption == nil else {
                throw FormatError(
                    file: path, expected: "a model to encrypt",
                    found: "one that is encrypted already")
            }
            let model = try PackedModel(source: opened)
            let units = try SealedUnits(model.manifest, file: path)
            return (model, units, header.manifest.offset)
        }
    }

    /// Writes the encrypted file.
    ///
    /// - Parameter salt: 32 bytes that no other file has.
    /// - Returns: its size.
    /// - Throws: `PackingError` when reading or writing fails, or the observer says so; nothing is
    ///   left then under the destination's name.
    package func write(
        to destination: String, key: ModelKey, salt: [UInt8] = Self.randomSalt(),
        overwrite: Bool = false, processID: Int32, observer: PackingObserver = PackingObserver()
    ) throws(PackingError) -> UInt64 {
        try check(destination, overwrite: overwrite)
        // What is encrypted is not looked at again for as long as nobody reads it.
        let isWhole = try fromSource { () throws(FormatError) in
            try PackedVerifier.verify(
                model, source: source,
                progress: {
                    observer.progress(
                        PackingProgress(bytesDone: $0.bytesDone / 2, bytesTotal: $0.bytesTotal))
                }, isCancelled: observer.isCancelled)
        }
        guard isWhole else { throw .cancelled }
        let (derived, cipher) = try fromSource { () throws(FormatError) in
            do throws(DynamicLibraryError) {
                let derived = try key.derived(salt: salt)
                return (derived, try AuthenticatedCipher(key: derived.key))
            } catch {
                throw .withoutCipher(model.fileName, error)
            }
        }
        let json = try fromSource { () throws(FormatError) in
            try model.manifest.encodedJSON(file: model.fileName)
        }
        let tagsBytes = units.count * AuthenticationTag.byteCount
        let manifestOffset = dataEnd + UInt64(PackedLayout.aligned(tagsBytes))
        let size = manifestOffset + UInt64(json.count)
        let file = try fromDestination { () throws(SystemError) in
            try PartialFile(destination: destination, processID: processID, byteCount: size)
        }
        let tags = try encryptUnits(into: file, cipher, observer)
        precondition(tags.count == tagsBytes, "a tag for each unit")
        try file.put(tags, at: dataEnd)
        var header = PackedHeader(
            version: model.manifest.formatVersion,
            manifest: PackedExtent(offset: manifestOffset, byteCount: json.count, checksum: 0),
            fileByteCount: size,
            encryption: PackedEncryption(
                salt: salt, check: derived.check, manifestTag: [], tagsOffset: dataEnd,
                unitCount: units.count))
        let sealed = Self.seal(
            json, at: manifestOffset, cipher,
            additional: Array(header.encoded.prefix(PackedEncryption.additionalBytes)))
        header.manifest.checksum = Checksum.of(sealed.bytes[...])
        header.encryption?.manifestTag = sealed.tag
        try file.put(sealed.bytes, at: manifestOffset)
        try file.put(header.encoded, at: 0)
        try fromDestination { () throws(SystemError) in
            try file.commit(to: destination, byteCount: size, overwrite: overwrite)
        }
        return size
    }

    /// Only models are replaced, and what earlier ones that were killed left is removed.
    private func check(_ destination: String, overwrite: Bool) throws(PackingError) {
        guard destination.hasSuffix(".sluice") else {
            throw .name("\(destination): an encrypted model's name ends in .sluice")
        }
        if FileSystem.exists(destination) {
            guard overwrite else { throw .exists(destination) }
            let there = try? SystemCalls.status(destination)
            guard let there, there.kind == .regular else {
                throw .name("\(destination) is no file that could be replaced")
            }
            guard (try? SystemCalls.status(source.name))?.isSameFile(as: there) != true else {
                throw .name("\(destination) is the model itself: give the new one another name")
            }
        }
        try fromDestination { () throws(SystemError) in
            try PartialFile.removeStale(in: FileSystem.parent(of: destination))
        }
    }

    /// 256 bits of the kernel's.
    package static func randomSalt() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<PackedEncryption.saltBytes).map { _ in
            UInt8.random(in: 0 ... .max, using: &generator)
        }
    }

    /// - Returns: all units' tags.
    private func encryptUnits(
        into file: borrowing PartialFile, _ cipher: AuthenticatedCipher, _ observer: PackingObserver
    ) throws(PackingError) -> [UInt8] {
        var tags: [UInt8] = []
        tags.reserveCapacity(units.count * AuthenticationTag.byteCount)
        var next = units.unit(endingAfter: 0)
        while let first = next {
            guard !observer.isCancelled() else { throw .cancelled }
            var end = first.end
            next = units.unit(endingAfter: end)
            while let unit = next, unit.end - first.offset <= UInt64(Self.pieceBytes) {
                end = unit.end
                next = units.unit(endingAfter: end)
            }
            let (start, count) = (first.offset, Int(end - first.offset))
            var bytes = try fromSource { () throws(FormatError) in
                try source.packedBytes(at: start, count: count)
            }
            seal(&bytes, from: start, cipher, adding: &tags)
            try file.put(bytes, at: start)
            file.writeOut(at: start, byteCount: count)
            observer.progress(
                PackingProgress(
                    bytesDone: (source.byteCount + end) / 2, bytesTotal: source.byteCount))
        }
        return tags
    }

    private func seal(
        _ bytes: inout [UInt8], from start: UInt64, _ cipher: AuthenticatedCipher,
        adding tags: inout [UInt8]
    ) {
        let end = start + UInt64(bytes.count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        var place = start
        while let unit = units.unit(endingAfter: place), unit.offset < end {
            let first = Int(unit.offset - start)
            var part = raw._mutatingExtracting(first..<first + unit.byteCount)
            tags += cipher.seal(&part, nonce: unit.offset).bytes
            place = unit.end
        }
    }

    private static func seal(
        _ text: [UInt8], at offset: UInt64, _ cipher: AuthenticatedCipher, additional: [UInt8]
    ) -> (bytes: [UInt8], tag: [UInt8]) {
        var bytes = text
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let tag = cipher.seal(&raw, nonce: offset, additional: additional)
        return (bytes, tag.bytes)
    }
}
