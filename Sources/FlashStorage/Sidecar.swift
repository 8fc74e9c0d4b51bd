// Small files of our own beside models and from measurements. One header, one checksum, one way to
// read and to replace them; what they hold is the business of their values. Any of them may be
// lost, stale or damaged at any time: whoever reads it goes on without.
//
// Little endian: "SLUICESC", the kind (8 bytes, padded with zeros), version (32 bits), bytes of the
// digest (32 bits), the digest of the source of the model that it belongs to (none: the machine's),
// bytes of the content (64 bits), the content, CRC-32C of everything before. docs/FORMAT.md,
// "Files beside a model".

package import LinuxSystem
package import ModelFormat

/// What a sidecar can hold.
package protocol SidecarValue: Sendable {
    /// What a reader must know to believe the content: the shape of the model, for example.
    associatedtype Context

    static var kind: SidecarKind { get }

    /// Reads what ``write(to:)`` wrote, in any of the versions that the kind takes.
    ///
    /// - Throws: `FormatError` when it makes no sense.
    init(_ reader: inout ByteReader, version: UInt32, for context: Context) throws(FormatError)

    /// Writes the content in the kind's newest version.
    func write(to writer: inout ByteWriter)
}

/// One kind of sidecar.
package struct SidecarKind: Sendable, Equatable {
    /// At most 8 ASCII characters; in the header.
    package let name: String
    /// For messages: "predictors of neurons".
    package let contents: String
    /// What is written; older ones from ``versionMin`` on are read.
    package let version: UInt32
    package let versionMin: UInt32
    /// What such files began with before there was one header: magic, version, digest, content.
    package let formerMagic: String?
    /// Longer files are not read.
    package let bytesMax: Int
    /// What makes such a file: "sluice calibrate makes it again".
    package let remedy: String

    package init(
        name: String, contents: String, version: UInt32, versionMin: UInt32 = 1,
        formerMagic: String? = nil, bytesMax: Int, remedy: String
    ) {
        precondition(name.utf8.count <= 8 && formerMagic?.utf8.count ?? 8 == 8)
        self.name = name
        self.contents = contents
        self.version = version
        self.versionMin = versionMin
        self.formerMagic = formerMagic
        self.bytesMax = bytesMax
        self.remedy = remedy
    }
}

/// One such file.
package struct Sidecar<Value: SidecarValue>: Sendable {
    package let path: String
    /// Of the source of the model that it belongs to, as in the manifest; nil for the machine's.
    package let digest: String?

    package init(path: String, digest: String?) {
        self.path = path
        self.digest = digest
    }

    /// What the file holds; nil where there is none.
    ///
    /// - Throws: `SidecarError` when it cannot be read, is damaged, of a version to come, or of
    ///   another model.
    package func read(for context: Value.Context) throws(SidecarError) -> Value? {
        guard FileSystem.exists(path) else { return nil }
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try SystemCalls.readFile(path, bytesMax: Value.kind.bytesMax)
        } catch {
            throw SidecarError(Value.kind, .system(error))
        }
        do throws(FormatError) {
            return try decode(bytes, for: context)
        } catch {
            throw SidecarError(Value.kind, .format(error))
        }
    }

    /// Replaces the file as a whole: on disk under a name of its own before it takes the place.
    ///
    /// - Throws: `SystemError` where it cannot be written, such as a read-only directory. What was
    ///   there stays.
    package func write(_ value: Value) throws(SystemError) {
        try FileSystem.replace(path, with: encode(value))
    }

    // MARK: bytes

    package func encode(_ value: Value) -> [UInt8] {
        var writer = ByteWriter()
        SidecarHeader(kind: Value.kind, digest: digest).write(to: &writer)
        let start = writer.bytes.count
        writer.add(UInt64(0))
        value.write(to: &writer)
        let count = UInt64(writer.bytes.count - start - 8)
        for index in 0..<8 {
            writer.bytes[start + index] = UInt8(truncatingIfNeeded: count >> (8 * index))
        }
        writer.addChecksum()
        return writer.bytes
    }

    /// - Throws: `FormatError`, which names ``path``.
    package func decode(
        _ bytes: [UInt8], for context: Value.Context
    ) throws(FormatError) -> Value {
        var reader = ByteReader(bytes, file: path)
        let header = try SidecarHeader(&reader, kind: Value.kind, digest: digest)
        if !header.isFormer {
            let count = try reader.number64()
            guard count == UInt64(reader.bytesLeft) else {
                throw reader.error("\(count) bytes of content", found: "\(reader.bytesLeft)")
            }
        }
        let value = try Value(&reader, version: header.version, for: context)
        try reader.expectEnd()
        return value
    }
}

/// What all sidecars begin with, up to the length of the content.
package struct SidecarHeader {
    private static let magic = Array("SLUICESC".utf8)
    private static let digestBytesMax: UInt32 = 256

    package let version: UInt32
    /// Whether the file is from before there was one header.
    package let isFormer: Bool
    private let kind: SidecarKind
    private let digest: String?

    package init(kind: SidecarKind, digest: String?) {
        self.kind = kind
        self.digest = digest
        version = kind.version
        isFormer = false
    }

    package func write(to writer: inout ByteWriter) {
        writer.bytes += Self.magic
        writer.bytes += Self.padded(kind)
        writer.add(kind.version)
        writer.add(digest ?? "")
    }

    /// Reads a header and checks the file's checksum.
    ///
    /// - Throws: `FormatError` when the file is of another kind, damaged, of a version that is not
    ///   read, or belongs to another model.
    package init(
        _ reader: inout ByteReader, kind: SidecarKind, digest: String?
    ) throws(FormatError) {
        // What is no such file at all is not called damaged.
        let magic = Array(try reader.take(8))
        isFormer = kind.formerMagic.map { Array($0.utf8) } == magic
        guard isFormer || magic == Self.magic else {
            throw reader.error(kind.contents, found: "something else")
        }
        try reader.checkSum()
        _ = try reader.take(8)
        if !isFormer {
            let found = try reader.take(8)
            guard found.elementsEqual(Self.padded(kind)) else {
                throw reader.error(kind.contents, found: "a file of another kind")
            }
        }
        version = try reader.word()
        guard (kind.versionMin...kind.version).contains(version) else {
            throw reader.error(
                kind.versionMin == kind.version
                    ? "version \(kind.version)"
                    : "version \(kind.versionMin) to \(kind.version)", found: "\(version)")
        }
        let stored = try reader.text(bytesMax: Self.digestBytesMax, "digest")
        guard stored == digest ?? "" else {
            throw reader.error(
                "the \(kind.contents) of \(digest.map { "model \($0)" } ?? "this machine")",
                found: stored.isEmpty ? "those of no model" : "those of \(stored)")
        }
        self.kind = kind
        self.digest = digest
    }

    private static func padded(_ kind: SidecarKind) -> [UInt8] {
        Array(kind.name.utf8) + [UInt8](repeating: 0, count: 8 - kind.name.utf8.count)
    }
}

/// Why a sidecar cannot be used, and what helps. Never a reason not to run.
package struct SidecarError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Cause: Sendable, Equatable {
        case format(FormatError)
        case system(SystemError)
    }

    package let cause: Cause
    private let remedy: String

    package init(_ kind: SidecarKind, _ cause: Cause) {
        self.cause = cause
        remedy = kind.remedy
    }

    package var description: String {
        switch cause {
        case .format(let error): "\(error) (\(remedy))"
        case .system(let error): "\(error)"
        }
    }
}

extension SidecarError: EndingError {
    package var exitStatus: ExitStatus {
        switch cause {
        case .format(let error): error.exitStatus
        case .system(let error): error.exitStatus
        }
    }
}
