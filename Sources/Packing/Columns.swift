// A matrix's columns as rows of blocks, for neurons. Pointers stay here.

internal import CPacking
internal import Compute
internal import LinuxSystem
internal import ModelFormat

/// Turns rows into columns.
enum Columns {
    /// Stores parts of some rows as parts of columns.
    ///
    /// - Parameters:
    ///   - rows: at most ``NeuronPieceSize/rowsTogether``; so many where `format` has blocks.
    ///   - partBytes: of each row's part, whole blocks; they lie one after another in `memory`.
    ///   - skipping: numbers of each part before the first column.
    ///   - offsets: where each column begins in `memory`.
    static func turn(
        _ tensor: GGUFTensor, _ record: PackedNeuronLayer, firstRow: Int, rows: Int,
        partBytes: Int, skipping: Int, size: NeuronPieceSize, memory: MemoryArena,
        into offsets: [Int]
    ) -> ConversionError {
        let format = record.down
        let type = tensor.type
        var whole = memory.mutableBytes(at: 0, byteCount: size.bundleBytes)
        let source = memory.bytes(at: size.sourceOffset, byteCount: rows * partBytes)
        return unsafe whole.withUnsafeMutableBytes { target in
            let columns = unsafe offsets.map { offset -> UnsafeMutablePointer<UInt8>? in
                unsafe (target.baseAddress! + offset).assumingMemoryBound(to: UInt8.self)
            }
            guard record.scales == nil else {
                let scales = memory.mutableBytes(at: size.scaleOffset, byteCount: size.scaleBytes)
                unsafe split(
                    type, source, record, firstRow: firstRow, rows: rows, skipping: skipping,
                    columns: columns, scales: scales)
                return ConversionError()
            }
            guard format == .q8_0 else {
                unsafe source.withUnsafeBytes { bytes in
                    for row in 0..<rows {
                        let part = unsafe bytes.baseAddress! + row * partBytes
                        unsafe cpacking_plain_columns(
                            part.assumingMemoryBound(to: UInt8.self)
                                + skipping * type.blockBytes, type.blockBytes, columns.count,
                            columns, firstRow + row)
                    }
                }
                return ConversionError()
            }
            let stride = partBytes / type.blockBytes * type.blockElements
            var floats = memory.mutableBytes(
                at: size.floatOffset, byteCount: rows * stride * MemoryLayout<Float>.stride)
            decode(type, source, rows: rows, stride: stride, into: &floats)
            var sums = cpacking_error()
            unsafe floats.withUnsafeMutableBytes { values in
                let first = unsafe values.baseAddress!.assumingMemoryBound(to: Float.self)
                unsafe cpacking_q8_0_columns(
                    first + skipping, stride, columns.count, columns,
                    firstRow / NeuronPieceSize.rowsTogether, &sums)
            }
            return ConversionError(error: sums.error, norm: sums.norm)
        }
    }

    /// Quants to the columns, scales to `[blocks][width]`.
    private static func split(
        _ type: GGUFType, _ source: RawSpan, _ record: PackedNeuronLayer, firstRow: Int, rows: Int,
        skipping: Int, columns: [UnsafeMutablePointer<UInt8>?], scales: consuming MutableRawSpan
    ) {
        let partBytes = source.byteCount / rows
        unsafe source.withUnsafeBytes { bytes in
            unsafe scales.withUnsafeMutableBytes { target in
                for row in 0..<rows {
                    let part = unsafe bytes.baseAddress! + row * partBytes
                    let first = unsafe target.baseAddress! + (firstRow + row) * 2
                    unsafe cpacking_split_columns(
                        type.number, part.assumingMemoryBound(to: UInt8.self), skipping,
                        columns.count, columns, firstRow + row,
                        first.assumingMemoryBound(to: UInt8.self), record.width * 2)
                }
            }
        }
    }

    /// Rows of `stride` numbers each, whole blocks, as floats.
    private static func decode(
        _ type: GGUFType, _ source: RawSpan, rows: Int, stride: Int,
        into floats: inout MutableRawSpan
    ) {
        unsafe floats.withUnsafeMutableBytes { values in
            let first = unsafe values.baseAddress!.assumingMemoryBound(to: Float.self)
            guard let format = type.format else {
                return unsafe source.withUnsafeBytes { bytes in
                    unsafe cpacking_decode(
                        type.number, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self),
                        first, rows * stride)
                }
            }
            var span = unsafe MutableSpan(_unsafeStart: first, count: rows * stride)
            Kernels.best.dequantize(
                row: source, format: format, columns: rows * stride, into: &span)
        }
    }
}
