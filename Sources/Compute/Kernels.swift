// The safe face of the C kernels: checks every shape, then lets C compute on the borrowed memory.
// The arithmetic and its order are defined in CKernels/include/ckernels.h.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// One instruction set's kernels.
///
/// All sets return the same bits for the same input (a NaN equals any other NaN), whatever the
/// number of tokens per call and of threads.
@safe
package struct Kernels: @unchecked Sendable {
    /// The fastest set that this machine has, chosen once. The environment variable
    /// `SLUICE_KERNELS` (`scalar`; `avx2`, `avxvnni` or `avx512`; `neon`, `neon_dotprod` or
    /// `neon_i8mm`) asks for a lesser one; a name that this machine lacks changes nothing.
    package static let best = unsafe Kernels(table: ckernels_best_table())

    /// Every set that this machine can run: scalar first, the fastest last.
    package static let available: [Kernels] = (0..<ckernels_table_count()).map {
        unsafe Kernels(table: ckernels_table_at($0))
    }

    /// The set's name, as `SLUICE_KERNELS` takes it.
    package let name: String

    let table: UnsafePointer<ckernels_table>

    private init(table: UnsafePointer<ckernels_table>) {
        unsafe self.table = table
        unsafe name = String(cString: table.pointee.name)
    }

    /// Quantises the first `tokens` rows of `input.floats`, `columns` each, to 8-bit blocks of 32.
    /// Does nothing when `columns` is not a multiple of 32: no format with 8-bit activations has
    /// such rows.
    package func prepare(
        _ input: inout ProductInput, tokens: Int, columns: Int, team: ComputeTeam
    ) {
        let blockCount = tokens * columns / ProductInput.blockElements
        guard columns % ProductInput.blockElements == 0, blockCount > 0 else { return }
        precondition(input.holds(tokens: tokens, columns: columns))
        let parts = unsafe input.pointers
        let job = unsafe QuantizeJob(
            table: table, blockCount: blockCount, floats: parts.floats,
            quants: UnsafeMutablePointer(mutating: parts.quants),
            scales: UnsafeMutablePointer(mutating: parts.scales),
            sums: UnsafeMutablePointer(mutating: parts.sums))
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: QuantizeJob.self).pointee.run(piece: piece)
        }
    }

    /// Decodes one row of block bytes as GGUF files store them (token embeddings).
    ///
    /// - Parameters:
    ///   - row: at least `format.rowBytes(columns: columns)` bytes.
    ///   - y: at least `columns` elements.
    package func dequantize(
        row: RawSpan, format: WeightFormat, columns: Int, into y: inout MutableSpan<Float>
    ) {
        guard columns > 0 else { return }
        precondition(row.byteCount >= format.rowBytes(columns: columns) && y.count >= columns)
        unsafe row.withUnsafeBytes { bytes in
            unsafe y.withUnsafeMutableBufferPointer { values in
                unsafe ckernels_dequantize(
                    format.kernelNumber, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self),
                    columns, values.baseAddress!)
            }
        }
    }
}

extension WeightFormat {
    /// The format's number in the C tables.
    var kernelNumber: Int32 {
        let number =
            switch self {
            case .f32: CKERNELS_F32
            case .f16: CKERNELS_F16
            case .bf16: CKERNELS_BF16
            case .q4_0: CKERNELS_Q4_0
            case .q4_1: CKERNELS_Q4_1
            case .q5_0: CKERNELS_Q5_0
            case .q5_1: CKERNELS_Q5_1
            case .q8_0: CKERNELS_Q8_0
            case .q2_K: CKERNELS_Q2_K
            case .q3_K: CKERNELS_Q3_K
            case .q4_K: CKERNELS_Q4_K
            case .q5_K: CKERNELS_Q5_K
            case .q6_K: CKERNELS_Q6_K
            case .iq4_nl: CKERNELS_IQ4_NL
            case .iq4_xs: CKERNELS_IQ4_XS
            case .mxfp4: CKERNELS_MXFP4
            }
        return Int32(number)
    }
}

/// What the team's members need to quantise. The pointers live as long as the input's arena.
@safe
private struct QuantizeJob: @unchecked Sendable {
    static let blocksPerPiece = 512

    let table: UnsafePointer<ckernels_table>
    let blockCount: Int
    let floats: UnsafePointer<Float>
    let quants: UnsafeMutablePointer<Int8>
    let scales: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Int32>

    var pieceCount: Int { (blockCount + Self.blocksPerPiece - 1) / Self.blocksPerPiece }

    func run(piece: Int) {
        let first = piece * Self.blocksPerPiece
        let count = min(Self.blocksPerPiece, blockCount - first)
        let element = first * ProductInput.blockElements
        unsafe table.pointee.quantize(
            floats + element, count, quants + element, scales + first,
            sums + 2 * first)
    }
}
