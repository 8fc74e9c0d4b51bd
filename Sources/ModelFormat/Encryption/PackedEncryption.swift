// What the header of an encrypted packed file says beyond another's (docs/FORMAT.md, "Encrypted
// files"): extents lie where they would lie otherwise, their tags before the manifest.

internal import LinuxSystem

/// How a packed file is encrypted.
package struct PackedEncryption: Sendable, Equatable {
    package static let flag: UInt32 = 1
    package static let saltBytes = 32
    package static let checkBytes = 16
    /// Where the header has it.
    private static let headerOffset = 48
    /// Of the header, what the manifest's tag vouches for.
    package static let additionalBytes = 16

    /// Makes the file's key another than every other file's.
    package var salt: [UInt8]
    /// Tells whose key it was.
    package var check: [UInt8]
    package var manifestTag: [UInt8]
    /// A tag for each unit, in their order.
    package var tagsOffset: UInt64
    package var unitCount: Int

    package init(
        salt: [UInt8], check: [UInt8], manifestTag: [UInt8], tagsOffset: UInt64, unitCount: Int
    ) {
        self.salt = salt
        self.check = check
        self.manifestTag = manifestTag
        self.tagsOffset = tagsOffset
        self.unitCount = unitCount
    }

    package var tagsBytes: Int { unitCount * AuthenticationTag.byteCount }

    /// Puts it where the header has it.
    func encode(into header: inout [UInt8]) {
        precondition(header.count == Self.headerOffset)
        header += salt + check + manifestTag
        header.appendLittleEndian(tagsOffset)
        header.appendLittleEndian(UInt64(unitCount))
    }

    /// - Throws: `FormatError` when tags cannot be where the header says.
    init(header: [UInt8], file: String, manifestOffset: UInt64) throws(FormatError) {
        var place = Self.headerOffset
        func take(_ count: Int) -> [UInt8] {
            defer { place += count }
            return Array(header[place..<place + count])
        }
        salt = take(Self.saltBytes)
        check = take(Self.checkBytes)
        manifestTag = take(AuthenticationTag.byteCount)
        tagsOffset = header.littleEndian(at: place)
        let count: UInt64 = header.littleEndian(at: place + 8)
        let end = UInt64(PackedLimits.sealedUnitsMax)
        guard count <= end, tagsOffset >= UInt64(PackedLayout.headerBytes),
            tagsOffset % UInt64(PackedLayout.alignment) == 0, tagsOffset <= manifestOffset,
            count * UInt64(AuthenticationTag.byteCount) <= manifestOffset - tagsOffset
        else {
            throw FormatError(
                file: file, offset: UInt64(place), expected: "tags before the manifest",
                found: "\(count) at \(tagsOffset)")
        }
        unitCount = Int(count)
    }
}

extension PackedEncryption {
    /// Finds the key that the file was encrypted with, and decrypts its manifest.
    ///
    /// - Returns: what the file's units are encrypted with.
    /// - Throws: `FormatError` when no key is the file's, or the manifest was changed.
    func open(
        _ manifest: inout [UInt8], of header: PackedHeader, file: String, keys: ModelKeySource
    ) throws(FormatError) -> [UInt8] {
        let candidates = try keys.keys()
        do {
            for candidate in candidates {
                let derived = try candidate.derived(salt: salt)
                guard derived.check == check else { continue }
                let cipher = try AuthenticatedCipher(key: derived.key)
                var span = manifest.mutableSpan
                var bytes = unsafe span.mutableBytes
                let tag = unsafe AuthenticationTag(manifestTag.span.bytes)
                let additional = Array(header.encoded.prefix(Self.additionalBytes))
                let isOpen = cipher.open(
                    &bytes, nonce: header.manifest.offset, tag: tag, additional: additional)
                if isOpen { return derived.key }
                throw FormatError(
                    file: file, offset: header.manifest.offset,
                    expected: "the manifest as it was encrypted",
                    found: "another: it is damaged, or was changed")
            }
        } catch let error as DynamicLibraryError {
            throw .withoutCipher(file, error)
        } catch let error as FormatError {
            throw error
        } catch {
            preconditionFailure("opening throws only these")
        }
        throw FormatError(
            file: file, expected: "a model that one of the keys opens",
            found: "one that was encrypted with another")
    }

    /// Reads the units' tags.
    func seal(
        _ manifest: PackedManifest, key: [UInt8], source: any ByteSource
    ) throws(FormatError) -> ModelSeal {
        let units = try SealedUnits(manifest, file: source.name)
        let bytes = try source.packedBytes(at: tagsOffset, count: tagsBytes)
        let span = unsafe bytes.span.bytes
        let tags = stride(from: 0, to: tagsBytes, by: AuthenticationTag.byteCount).map {
            AuthenticationTag(span, at: $0)
        }
        return try ModelSeal(file: source.name, units: units, key: key, tags: tags)
    }
}
