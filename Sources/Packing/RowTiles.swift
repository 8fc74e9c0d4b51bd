// The arrangement of matrices in a packed file: 16 rows side by side, field by field, so that a
// kernel loads the same field of 16 rows with one contiguous read (docs/FORMAT.md, "Row tiles").
// A permutation of bytes: nothing is decoded. Pointers stay in this file.

internal import CPacking
package import ModelFormat

/// Turns rows into row tiles.
package enum RowTiles {
    /// Interleaves whole tiles: `rows` holds a multiple of 16 rows of `columns` elements in GGUF's
    /// order, missing rows as zeros; `tiles` receives as many bytes.
    package static func interleave(
        _ rows: RawSpan, into tiles: inout MutableRawSpan, format: WeightFormat, columns: Int
    ) {
        let rowBytes = format.rowBytes(columns: columns)
        let tileBytes = rowBytes * WeightFormat.tileRows
        precondition(rows.byteCount % tileBytes == 0, "whole tiles only")
        precondition(tiles.byteCount == rows.byteCount, "a permutation keeps the size")
        var fields = format.fields.map {
            cpacking_field(bytes: UInt32($0.bytes), unit: UInt32($0.unit))
        }
        // One field per block: the row is as well one block with one long field.
        if fields.count == 1 { fields[0].bytes = UInt32(rowBytes) }
        unsafe rows.withUnsafeBytes { source in
            unsafe tiles.withUnsafeMutableBytes { destination in
                unsafe cpacking_interleave(
                    source.baseAddress, destination.baseAddress, source.count / tileBytes,
                    rowBytes, fields, fields.count)
            }
        }
    }
}
