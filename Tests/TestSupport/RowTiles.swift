// Row tiles, straight from the definition in docs/FORMAT.md: what the packer must write and the
// kernels read. For tests only; slow on purpose.

package import ModelFormat

/// Interleaving of row-major matrices into tiles of 16 rows.
package enum RowTiles {
    /// Interleaves `matrix`, whose `rows` rows of GGUF blocks follow one another, padding with zero
    /// rows to whole tiles: for each tile, each block of a row, each field, each unit of 1, 2 or 4
    /// bytes, the 16 rows' units side by side.
    package static func interleave(
        _ matrix: [UInt8], format: WeightFormat, rows: Int, columns: Int
    ) -> [UInt8] {
        let rowBytes = format.rowBytes(columns: columns)
        precondition(matrix.count == rows * rowBytes, "the matrix has another size")
        let tileRows = WeightFormat.tileRows
        var tiles: [UInt8] = []
        tiles.reserveCapacity(format.tiledBytes(rows: rows, columns: columns))
        for tile in 0..<(rows + tileRows - 1) / tileRows {
            for block in 0..<columns / format.blockElements {
                var offset = block * format.blockBytes
                for field in format.fields {
                    for _ in 0..<field.bytes / field.unit {
                        for row in tile * tileRows..<(tile + 1) * tileRows {
                            for byte in offset..<offset + field.unit {
                                tiles.append(row < rows ? matrix[row * rowBytes + byte] : 0)
                            }
                        }
                        offset += field.unit
                    }
                }
            }
        }
        return tiles
    }
}
