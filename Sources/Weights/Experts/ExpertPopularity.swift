// How often each expert was used, as a small file: what the next start warms first.
//
// Content: number of experts (32 bits), one 32-bit float each.

package import FlashStorage
package import ModelFormat

package struct ExpertPopularity: Sendable, Equatable {
    /// One for each expert, in order of their numbers; finite and not negative.
    package let values: [Float]

    package init(values: [Float]) { self.values = values }

    /// Where a packed file's popularity is kept: beside it.
    package static func path(of packed: String) -> String { packed + ".popularity" }
}

extension ExpertPopularity: SidecarValue {
    package static let kind = SidecarKind(
        name: "popular", contents: "popularity of experts", version: 1, formerMagic: "SLPOPULR",
        bytesMax: 16 << 20, remedy: "the next run makes it anew")

    package func write(to writer: inout ByteWriter) {
        writer.add(UInt32(values.count))
        writer.add(values)
    }

    /// - Parameter expertCount: the model's.
    package init(
        _ reader: inout ByteReader, version: UInt32, for expertCount: Int
    ) throws(FormatError) {
        let count = try reader.word()
        guard Int(count) == expertCount else {
            throw reader.error("\(expertCount) experts", found: "\(count)")
        }
        values = try reader.floats(expertCount)
        guard values.allSatisfy({ $0 >= 0 }) else {
            throw reader.error("counts", found: "negative ones")
        }
    }
}
