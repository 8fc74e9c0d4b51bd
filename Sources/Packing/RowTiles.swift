// The arrangement of matrices in a packed file: 16 rows side by side, field by field, so that a
// kernel loads the same field of 16 rows with one contiguous read (docs/FORMAT.md, "Row tiles").
// A permutation of bytes: nothing is decoded. Pointers stay in this file.

package import ModelFormat

/// Turns rows into row tiles.
package enum RowTiles {
    /// Interleaves whole tiles: `rows` holds a multiple of 16 rows of `columns` elements in GGUF's
    /// order, missing rows as zeros; `tiles` receives as many bytes.
    package static func interleave(
        _ rows: RawSpan, into tiles: inout MutableRawSpan, format: WeightFormat, columns: Int
    ) {
        let walk = Walk(format: format, columns: columns, byteCount: rows.byteCount)
        precondition(tiles.byteCount == rows.byteCount, "a permutation keeps the size")
        unsafe rows.withUnsafeBytes { source in
            unsafe tiles.withUnsafeMutableBytes { destination in
                guard let source = source.baseAddress, let destination = destination.baseAddress
                else { return }
                unsafe walk.copy(rows: source, tiles: destination)
            }
        }
    }

    /// The loops over tiles, blocks, fields, units and rows.
    private struct Walk {
        let fields: [(bytes: Int, unit: Int)]
        let blocks: Int
        let rowBytes: Int
        let tiles: Int

        init(format: WeightFormat, columns: Int, byteCount: Int) {
            rowBytes = format.rowBytes(columns: columns)
            let tileBytes = rowBytes * WeightFormat.tileRows
            precondition(byteCount % tileBytes == 0, "whole tiles only")
            tiles = byteCount / tileBytes
            if let only = format.fields.first, format.fields.count == 1 {
                // One field per block: the row is as well one block with one long field.
                fields = [(rowBytes, only.unit)]
                blocks = 1
            } else {
                fields = format.fields.map { ($0.bytes, $0.unit) }
                blocks = columns / format.blockElements
            }
        }

        func copy(rows: UnsafeRawPointer, tiles destination: UnsafeMutableRawPointer) {
            var out = unsafe destination
            for tile in 0..<tiles {
                var field = unsafe rows + tile * WeightFormat.tileRows * rowBytes
                for _ in 0..<blocks {
                    for description in fields {
                        switch description.unit {
                        case 4: unsafe gather(UInt32.self, field, description.bytes, into: out)
                        case 2: unsafe gather(UInt16.self, field, description.bytes, into: out)
                        default: unsafe gather(UInt8.self, field, description.bytes, into: out)
                        }
                        unsafe field += description.bytes
                        unsafe out += description.bytes * WeightFormat.tileRows
                    }
                }
            }
        }

        /// One field of 16 rows: unit by unit, each unit of all rows.
        @inline(__always)
        private func gather<Unit: FixedWidthInteger & BitwiseCopyable>(
            _: Unit.Type, _ field: UnsafeRawPointer, _ bytes: Int,
            into out: UnsafeMutableRawPointer
        ) {
            let size = MemoryLayout<Unit>.size
            var destination = unsafe out
            for position in stride(from: 0, to: bytes, by: size) {
                var source = unsafe field + position
                for row in 0..<WeightFormat.tileRows {
                    let unit = unsafe source.loadUnaligned(as: Unit.self)
                    unsafe destination.storeBytes(
                        of: unit, toByteOffset: row &* size, as: Unit.self)
                    unsafe source += rowBytes
                }
                unsafe destination += size &* WeightFormat.tileRows
            }
        }
    }
}
