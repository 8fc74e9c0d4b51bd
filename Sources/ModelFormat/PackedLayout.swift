// The packed file's constants, its header, and what it refuses for size.

/// Constants of the layout (docs/FORMAT.md).
package enum PackedLayout {
    package static let magic = Array("SLUICEPK".utf8)
    package static let formatVersion = 3
    /// What is read: files of version 2 have embeddings by themselves.
    package static let formatVersions = 2...3
    package static let headerBytes = 4096
    /// Extents start at multiples of this, so that they can be read with O_DIRECT.
    package static let alignment = 4096
    /// Vectors and bundle parts start at multiples of this: a cache line and a 512-bit vector.
    package static let partAlignment = 64
    /// Matrices are cut into extents of at most this many bytes, or of one tile where one tile is
    /// more.
    package static let extentBytesMax = 1 << 20

    /// `count` rounded up to whole ``alignment`` units.
    package static func aligned(_ count: Int, to unit: Int = alignment) -> Int {
        (count + unit - 1) / unit * unit
    }

    /// Rows of each extent of a matrix: as many whole tiles as ``extentBytesMax`` holds.
    package static func rowsPerExtent(format: WeightFormat, rows: Int, columns: Int) -> Int {
        let tileBytes = format.tiledBytes(rows: WeightFormat.tileRows, columns: columns)
        let tiles = max(1, extentBytesMax / tileBytes)
        return min(tiles * WeightFormat.tileRows, aligned(rows, to: WeightFormat.tileRows))
    }
}

/// Bounds on what a manifest may claim. Together they keep every product of a shape below 2^62 and
/// the memory for reading a hostile manifest below 64 MiB.
package enum PackedLimits {
    /// A 400-billion-parameter model's manifest takes about 4 MiB.
    package static let manifestBytesMax = 8 << 20
    /// Commas, colons and opening brackets outside strings: what a JSON parser's memory grows with.
    package static let manifestPunctuationMax = 1 << 17
    package static let manifestDepthMax = 16
    /// Of a name, a digest or a conversion's sentence.
    package static let textBytesMax = 1024
    package static let conversionsMax = 64
    package static let vocabularyBytesMax = 32 << 20
    package static let layersMax = 1024
    package static let expertsMax = 4096
    package static let rowsMax = 1 << 24
    /// Of an encrypted file: 64 MiB of tags.
    package static let sealedUnitsMax = 1 << 22
    package static let columnsMax = 1 << 18
    package static let contextLengthMax = 1 << 31
    package static let convolutionLengths = 2...8
}

/// The first 4 KiB of a packed file: where the manifest is, and that the file is whole.
package struct PackedHeader: Sendable, Equatable {
    /// The manifest says the same.
    package let version: Int
    package var manifest: PackedExtent
    package var fileByteCount: UInt64
    /// Nil where everything is as it is.
    package var encryption: PackedEncryption?

    package init(
        version: Int = PackedLayout.formatVersion, manifest: PackedExtent, fileByteCount: UInt64,
        encryption: PackedEncryption? = nil
    ) {
        self.version = version
        self.manifest = manifest
        self.fileByteCount = fileByteCount
        self.encryption = encryption
    }

    /// The header as it is written.
    package var encoded: [UInt8] {
        var bytes = PackedLayout.magic
        bytes.appendLittleEndian(UInt32(version))
        bytes.appendLittleEndian(encryption == nil ? 0 : PackedEncryption.flag)
        bytes.appendLittleEndian(manifest.offset)
        bytes.appendLittleEndian(UInt64(manifest.byteCount))
        bytes.appendLittleEndian(manifest.checksum)
        bytes.appendLittleEndian(UInt32(0))  // reserved
        bytes.appendLittleEndian(fileByteCount)
        encryption?.encode(into: &bytes)
        bytes.append(
            contentsOf: repeatElement(0, count: PackedLayout.headerBytes - 4 - bytes.count))
        bytes.appendLittleEndian(Checksum.of(bytes[...]))
        return bytes
    }

    /// Reads and checks the header of `source`.
    ///
    /// - Throws: `FormatError` for anything but a whole packed file of this version.
    package init(source: any ByteSource) throws(FormatError) {
        func refuse(_ offset: Int, _ expected: String, _ found: String) -> FormatError {
            FormatError(
                file: source.name, offset: UInt64(offset), expected: expected, found: found)
        }
        let end = source.byteCount
        guard end >= UInt64(PackedLayout.headerBytes) else {
            throw refuse(
                0, "a packed file's header of \(PackedLayout.headerBytes) bytes", "\(end) bytes")
        }
        let bytes = try source.packedBytes(at: 0, count: PackedLayout.headerBytes)
        guard bytes.starts(with: PackedLayout.magic) else {
            throw refuse(0, "a packed file (SLUICEPK)", "another kind of file")
        }
        let version: UInt32 = bytes.littleEndian(at: 8)
        let versions = PackedLayout.formatVersions
        guard versions.contains(Int(version)) else {
            let advice =
                version < versions.lowerBound
                ? "import the model again" : "a newer Sluice made the file"
            throw refuse(
                8, "format version \(versions.lowerBound) or \(versions.upperBound)",
                "version \(version) (\(advice))")
        }
        self.version = Int(version)
        let checksumOffset = PackedLayout.headerBytes - 4
        let checksum: UInt32 = bytes.littleEndian(at: checksumOffset)
        guard Checksum.of(bytes[..<checksumOffset]) == checksum else {
            throw refuse(checksumOffset, "the header's checksum", "a damaged header")
        }
        let flags: UInt32 = bytes.littleEndian(at: 12)
        guard flags & ~PackedEncryption.flag == 0 else {
            throw refuse(12, "no header flags but that of encryption", "flags \(flags)")
        }
        let manifestOffset: UInt64 = bytes.littleEndian(at: 16)
        let manifestBytes: UInt64 = bytes.littleEndian(at: 24)
        fileByteCount = bytes.littleEndian(at: 40)
        guard fileByteCount == end else {
            throw refuse(40, "a file of \(fileByteCount) bytes", "\(end) bytes")
        }
        guard manifestBytes > 0, manifestBytes <= UInt64(PackedLimits.manifestBytesMax) else {
            throw refuse(
                24, "a manifest of at most \(PackedLimits.manifestBytesMax) bytes",
                "\(manifestBytes) bytes")
        }
        guard manifestOffset >= UInt64(PackedLayout.headerBytes), manifestOffset <= end,
            manifestOffset % UInt64(PackedLayout.alignment) == 0,
            end - manifestOffset == manifestBytes
        else { throw refuse(16, "the manifest at the file's end", "it at \(manifestOffset)") }
        manifest = PackedExtent(
            offset: manifestOffset, byteCount: Int(manifestBytes),
            checksum: bytes.littleEndian(at: 32))
        guard flags == PackedEncryption.flag else { return }
        encryption = try PackedEncryption(
            header: bytes, file: source.name, manifestOffset: manifestOffset)
    }
}
