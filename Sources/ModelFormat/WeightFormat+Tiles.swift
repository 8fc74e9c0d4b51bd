// One row out of a tile of 16: the other way round than import arranges them (docs/FORMAT.md, "Row
// tiles").

extension WeightFormat {
    /// Copies row `row` of a tile into `target`, as GGUF has it: of each block, each field, each
    /// unit, the row's own.
    package func copyRow(
        _ row: Int, of tile: RawSpan, columns: Int, into target: inout MutableRawSpan
    ) {
        let rowBytes = rowBytes(columns: columns)
        precondition((0..<Self.tileRows).contains(row) && target.byteCount == rowBytes)
        precondition(tile.byteCount == Self.tileRows * rowBytes)
        var start = 0
        while start < rowBytes {
            for field in fields {
                for place in stride(from: start, to: start + field.bytes, by: field.unit) {
                    let source = place * Self.tileRows + row * field.unit
                    for byte in 0..<field.unit {
                        target.storeBytes(
                            of: unsafe tile.unsafeLoad(
                                fromByteOffset: source + byte, as: UInt8.self),
                            toByteOffset: place + byte, as: UInt8.self)
                    }
                }
                start += field.bytes
            }
        }
    }
}
