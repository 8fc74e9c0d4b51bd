// How often each expert was used, as a small file: what the next start warms first. It may be lost,
// stale or damaged at any time; whoever reads it goes on without.
//
// Little endian: "SLPOPULR", version (32 bits), bytes of the digest (32 bits), the digest of the
// model's source, number of experts (32 bits), one 32-bit float each, CRC-32C of everything before.

internal import FlashStorage
package import ModelFormat

package struct ExpertPopularity: Sendable, Equatable {
    static let version: UInt32 = 1
    private static let magic = Array("SLPOPULR".utf8)
    private static let digestBytesMax: UInt32 = 256
    /// More than any model's file has.
    static let bytesMax = 16 << 20

    /// One for each expert, in order of their numbers; finite and not negative.
    package let values: [Float]

    package init(values: [Float]) { self.values = values }

    package func encoded(digest: String) -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes += Self.magic
        writer.add(Self.version)
        writer.add(UInt32(digest.utf8.count))
        writer.bytes += Array(digest.utf8)
        writer.add(UInt32(values.count))
        for value in values { writer.add(value.bitPattern) }
        writer.addChecksum()
        return writer.bytes
    }

    /// Reads what ``encoded(digest:)`` wrote.
    ///
    /// - Throws: `FormatError` when it is damaged, or not for this model.
    package init(
        _ bytes: [UInt8], file: String, digest: String, expertCount: Int
    ) throws(FormatError) {
        var reader = ByteReader(bytes, file: file)
        try reader.checkSum()
        try reader.expect(Self.magic, "saved popularity")
        let version = try reader.word()
        guard version == Self.version else {
            throw reader.error("version \(Self.version)", found: "\(version)")
        }
        let length = try reader.word()
        guard length <= Self.digestBytesMax else {
            throw reader.error(
                "a digest of at most \(Self.digestBytesMax) bytes", found: "\(length)")
        }
        let found = String(decoding: try reader.take(Int(length)), as: UTF8.self)
        guard found == digest else {
            throw reader.error("the popularity of model \(digest)", found: "that of \(found)")
        }
        let count = try reader.word()
        guard Int(count) == expertCount else {
            throw reader.error("\(expertCount) experts", found: "\(count)")
        }
        var values: [Float] = []
        values.reserveCapacity(expertCount)
        for _ in 0..<expertCount {
            let value = Float(bitPattern: try reader.word())
            guard value.isFinite, value >= 0 else {
                throw reader.error("finite counts", found: "\(value)")
            }
            values.append(value)
        }
        self.values = values
        try reader.expectEnd()
    }
}
