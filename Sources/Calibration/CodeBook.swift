// Numbers to the few bits in which predictors keep them: neurons' codes at 4 and 2 bits with a step
// for each neuron, the encoder's rows in GGUF's Q8_0 and Q4_0.

internal import ModelFormat

/// Rows of a matrix as odd levels times a step: level = 2 * code - (2^bits - 1).
struct CodedRows {
    let bits: Int
    let columns: Int
    /// Rows × columns.
    private(set) var codes: [UInt8]
    /// One for each row.
    private(set) var steps: [Float]

    /// Steps that are tried, as shares of a row's root mean square: about those that are best for
    /// normally distributed numbers (Max, 1960).
    private static func shares(bits: Int) -> [Float] {
        let (low, high): (Float, Float) = bits == 4 ? (0.1, 0.3) : (0.35, 0.8)
        return (0..<10).map { low + (high - low) * Float($0) / 9 }
    }

    /// The columns `range` of `matrix`, each row with the step that errs least.
    init(_ matrix: Matrix, columns range: Range<Int>, bits: Int) {
        self.bits = bits
        columns = range.count
        codes = [UInt8](repeating: 0, count: matrix.rows * range.count)
        steps = [Float](repeating: 0, count: matrix.rows)
        for row in 0..<matrix.rows {
            let all = matrix.row(row)
            let values = all[all.startIndex + range.lowerBound..<all.startIndex + range.upperBound]
            let square = values.reduce(0) { $0 + $1 * $1 }
            guard square > 0 else { continue }
            let root = (square / Float(range.count)).squareRoot()
            var least = Float.infinity
            for share in Self.shares(bits: bits) {
                let step = share * root
                let error = values.reduce(Float(0)) {
                    let miss = $1 - level(code($1, step)) * step
                    return $0 + miss * miss
                }
                if error < least {
                    least = error
                    steps[row] = step
                }
            }
            for (column, value) in values.enumerated() {
                codes[row * columns + column] = code(value, steps[row])
            }
        }
    }

    private func code(_ value: Float, _ step: Float) -> UInt8 {
        let half = Float(1 << (bits - 1))
        let code = (value / (2 * step)).rounded(.down) + half
        return UInt8(min(max(code, 0), 2 * half - 1))
    }

    private func level(_ code: UInt8) -> Float { Float(2 * Int(code) - (1 << bits) + 1) }

    /// What the codes stand for, in columns from `column` on of `matrix`.
    func decode(into matrix: inout Matrix, at column: Int) {
        for row in 0..<matrix.rows {
            for index in 0..<columns {
                matrix[row, column + index] = level(codes[row * columns + index]) * steps[row]
            }
        }
    }

    /// The words of 32 columns of a row (`ckernels_scores`): bits 8 · i + b · k of a word hold
    /// column 4 · k + i.
    func words(row: Int, block: Int) -> [UInt32] {
        let perWord = 32 / bits
        return (0..<bits).map { word in
            (0..<perWord).reduce(UInt32(0)) { packed, index in
                let code = codes[row * columns + 32 * block + perWord * word + index]
                return packed | UInt32(code) << UInt32(8 * (index % 4) + bits * (index / 4))
            }
        }
    }
}

/// Neurons' codes in the tiles of `ckernels_scores`.
struct ScoreTileWriter {
    let fine: CodedRows
    let coarse: CodedRows
    /// What each neuron's sums of levels are multiplied with, beyond its steps.
    let factors: [Float]
    let biases: [Float]

    func tiles() -> [UInt8] {
        var bytes: [UInt8] = []
        let lanes = WeightFormat.tileRows
        for first in stride(from: 0, to: factors.count, by: lanes) {
            for part in [fine, coarse] {
                for block in 0..<part.columns / 32 {
                    let words = (first..<first + lanes).map { row in
                        row < factors.count
                            ? part.words(row: row, block: block)
                            : [UInt32](repeating: 0, count: part.bits)
                    }
                    for index in 0..<part.bits {
                        for lane in words { bytes.append(littleEndian: lane[index]) }
                    }
                }
            }
            for part in [fine, coarse] {
                for row in first..<first + lanes {
                    let step = row < factors.count ? part.steps[row] * factors[row] : 0
                    bytes.append(littleEndian: Float16(step).bitPattern)
                }
            }
            for row in first..<first + lanes {
                bytes.append(littleEndian: (row < biases.count ? biases[row] : 0).bitPattern)
            }
        }
        return bytes
    }
}

/// Rows of an encoder in GGUF blocks of 32: what is stored, and what it stands for.
struct EncodedRows {
    private(set) var tiles: [UInt8] = []
    /// Rows × columns.
    private(set) var values: Matrix

    init(_ matrix: Matrix, rows: Range<Int>, format: WeightFormat) {
        values = Matrix(rows: rows.count, columns: matrix.columns)
        var stored: [[UInt8]] = []
        for (index, row) in rows.enumerated() {
            var bytes: [UInt8] = []
            let source = Array(matrix.row(row))
            for start in stride(from: 0, to: matrix.columns, by: 32) {
                let block = source[start..<start + 32]
                let decoded =
                    format == .q8_0 ? Self.eight(block, &bytes) : Self.four(block, &bytes)
                for (column, value) in decoded.enumerated() {
                    values[index, start + column] = value
                }
            }
            stored.append(bytes)
        }
        tiles = RowTiles(format: format, columns: matrix.columns).tiles(of: stored)
    }

    /// Q8_0: d = largest magnitude / 127.
    private static func eight(_ block: ArraySlice<Float>, _ bytes: inout [UInt8]) -> [Float] {
        let step = Float16(block.reduce(0) { max($0, abs($1)) } / 127)
        bytes.append(littleEndian: step.bitPattern)
        return block.map { value in
            let code = step > 0 ? (value / Float(step)).rounded() : 0
            let quant = Int8(min(max(code, -127), 127))
            bytes.append(UInt8(bitPattern: quant))
            return Float(quant) * Float(step)
        }
    }

    /// Q4_0: d = the number of the largest magnitude / -8; codes of elements i and i + 16 share a
    /// byte.
    private static func four(_ block: ArraySlice<Float>, _ bytes: inout [UInt8]) -> [Float] {
        let extreme = block.reduce(Float(0)) { abs($1) > abs($0) ? $1 : $0 }
        let step = Float16(extreme / -8)
        bytes.append(littleEndian: step.bitPattern)
        let codes = block.map { value -> UInt8 in
            let code = step != 0 ? (value / Float(step)).rounded() + 8 : 8
            return UInt8(min(max(code, 0), 15))
        }
        for index in 0..<16 { bytes.append(codes[index] | codes[index + 16] << 4) }
        return codes.map { Float(Int($0) - 8) * Float(step) }
    }
}

extension [UInt8] {
    /// Appends an integer, lowest byte first.
    fileprivate mutating func append<Value: FixedWidthInteger & UnsignedInteger>(
        littleEndian value: Value
    ) {
        for index in 0..<Value.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: value >> Value(8 * index)))
        }
    }
}
