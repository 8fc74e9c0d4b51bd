// A layer's first projection as floats, read from the packed file apart from the model's own
// weights: what its rows are decides which neurons fire, and predictors approximate them.

internal import Compute
internal import ModelFormat

struct FirstProjection {
    let model: PackedModel
    let source: FileByteSource
    let kernels: Kernels

    init(path: String) throws(CalibrationError) {
        do { source = try FileByteSource(path: path, name: path) } catch { throw .system(error) }
        do { model = try PackedModel(source: source) } catch { throw .format(error) }
        kernels = .best
    }

    /// Neurons × width.
    func read(layer: Int) throws(CalibrationError) -> Matrix {
        let manifest = model.manifest
        let found =
            manifest.matrix(.feedForwardGate, layer: layer)
            ?? manifest.matrix(.feedForwardUp, layer: layer)
        guard let record = found else {
            throw .format(
                FormatError(
                    file: model.fileName, expected: "a feed-forward network in layer \(layer)",
                    found: "none"))
        }
        var result = Matrix(rows: record.rows, columns: record.columns)
        for index in 0..<record.extentCount {
            let extent = record.extent(index)
            var bytes = [UInt8](repeating: 0, count: extent.byteCount)
            do throws(FormatError) {
                var span = bytes.mutableSpan
                var raw = unsafe span.mutableBytes
                try model.read(extent.extent, from: source, into: &raw, record.name)
            } catch {
                throw .format(error)
            }
            decode(bytes, record, extent.rows, into: &result)
        }
        return result
    }

    /// Rows of tiles to floats.
    private func decode(
        _ tiles: [UInt8], _ record: PackedMatrix, _ rows: Range<Int>, into result: inout Matrix
    ) {
        let tiling = RowTiles(format: record.format, columns: record.columns)
        var line = [Float](repeating: 0, count: record.columns)
        for row in rows {
            let bytes = tiling.row(row - rows.lowerBound, of: tiles)
            var target = line.mutableSpan
            unsafe kernels.dequantize(
                row: bytes.span.bytes, format: record.format, columns: record.columns,
                into: &target)
            let start = row * record.columns
            result.values.replaceSubrange(start..<start + record.columns, with: line)
        }
    }
}

/// The arrangement of rows in tiles of 16 (docs/FORMAT.md, "Row tiles"): for each block, each
/// field, each unit, the 16 rows' units side by side.
struct RowTiles {
    let format: WeightFormat
    let columns: Int

    /// Calls `body` with each piece of a row: its place in the row, its place in the tiles, and its
    /// bytes.
    private func forEachUnit(ofRow row: Int, _ body: (Int, Int, Int) -> Void) {
        let (tile, lane) = row.quotientAndRemainder(dividingBy: WeightFormat.tileRows)
        var inRow = 0
        var inTiles = tile * WeightFormat.tileRows * format.rowBytes(columns: columns)
        for _ in 0..<columns / format.blockElements {
            for field in format.fields {
                for _ in 0..<field.bytes / field.unit {
                    body(inRow, inTiles + lane * field.unit, field.unit)
                    inRow += field.unit
                    inTiles += WeightFormat.tileRows * field.unit
                }
            }
        }
    }

    /// A row's blocks as GGUF has them.
    func row(_ row: Int, of tiles: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(format.rowBytes(columns: columns))
        forEachUnit(ofRow: row) { _, place, count in
            bytes.append(contentsOf: tiles[place..<place + count])
        }
        return bytes
    }

    /// Rows to tiles; missing rows are zeros.
    func tiles(of rows: [[UInt8]]) -> [UInt8] {
        let byteCount = format.tiledBytes(rows: rows.count, columns: columns)
        var tiles = [UInt8](repeating: 0, count: byteCount)
        for (index, row) in rows.enumerated() {
            forEachUnit(ofRow: index) { from, place, count in
                for byte in 0..<count { tiles[place + byte] = row[from + byte] }
            }
        }
        return tiles
    }
}
