// A matrix product as one operation of the team; ProductGroup.swift makes one of several.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// A tile-interleaved matrix, or some rows of one, and where its results go.
package struct ProductMatrix: ~Escapable {
    let weights: RawSpan
    let format: WeightFormat
    let rows: Int
    let rowOffset: Int
    let outputStride: Int

    /// - Parameters:
    ///   - weights: whole tiles of `rows` rows, as `WeightFormat.tiledBytes(rows:columns:)` counts.
    ///   - rowOffset: the element of each token's output that the first row's result goes to.
    ///   - outputStride: elements from one token's output to the next.
    @_lifetime(copy weights)
    package init(
        _ weights: RawSpan, format: WeightFormat, rows: Int, rowOffset: Int, outputStride: Int
    ) {
        self.weights = weights
        self.format = format
        self.rows = rows
        self.rowOffset = rowOffset
        self.outputStride = outputStride
    }

    /// All rows of a matrix, results side by side.
    @_lifetime(copy weights)
    package init(_ weights: RawSpan, format: WeightFormat, rows: Int) {
        self.init(weights, format: format, rows: rows, rowOffset: 0, outputStride: rows)
    }
}

extension Kernels {
    /// Multiplies a tile-interleaved matrix with each token's activations:
    /// `y[t * outputStride + rowOffset + r] = sum over c of W[r][c] * x[t][c]`.
    ///
    /// F32, F16 and BF16 use the input's floats; all other formats its 8-bit blocks
    /// (``prepare(_:tokens:columns:team:)`` first).
    ///
    /// - Parameters:
    ///   - weights: whole tiles of `rows` rows, as `WeightFormat.tiledBytes(rows:columns:)` counts.
    ///   - input: `tokens` rows of `columns`.
    ///   - y: `tokens` rows, `outputStride` apart.
    package func multiply(
        _ weights: RawSpan, format: WeightFormat, rows: Int, columns: Int,
        by input: borrowing ProductInput, tokens: Int, into y: inout MutableSpan<Float>,
        rowOffset: Int, outputStride: Int, team: ComputeTeam
    ) {
        let matrix = ProductMatrix(
            weights, format: format, rows: rows, rowOffset: rowOffset, outputStride: outputStride)
        let batch = ProductBatch(input, tokens: tokens, columns: columns, team)
        withJob(matrix, batch, &y) { job in
            unsafe team.run(pieces: job.pieces.count, job: job) { job, piece in
                unsafe job.assumingMemoryBound(to: ProductJob.self).pointee.run(piece: piece)
            }
        }
    }

    /// Checks one matrix's shapes and makes its job, which is good until `body` returns.
    private func withJob(
        _ matrix: borrowing ProductMatrix, _ batch: ProductBatch,
        _ y: inout MutableSpan<Float>, _ body: (ProductJob) -> Void
    ) {
        let (rows, columns, stride) = (matrix.rows, batch.columns, matrix.outputStride)
        let tileBytes = WeightFormat.tileRows * matrix.format.rowBytes(columns: columns)
        let isEmpty = rows <= 0 || batch.tokens <= 0
        if !isEmpty {
            let needed = matrix.format.tiledBytes(rows: rows, columns: columns)
            precondition(matrix.weights.byteCount >= needed && columns > 0)
            precondition(matrix.rowOffset >= 0 && matrix.rowOffset + rows <= stride)
            precondition((batch.tokens - 1) * stride + matrix.rowOffset + rows <= y.count)
        }
        let table = unsafe table
        unsafe matrix.weights.withUnsafeBytes { bytes in
            unsafe y.withUnsafeMutableBufferPointer { results in
                guard !isEmpty, let weights = bytes.baseAddress, let y = results.baseAddress else {
                    return unsafe body(ProductJob(table: table))
                }
                let product = unsafe ckernels_product(
                    weights: weights.assumingMemoryBound(to: UInt8.self), row_list: nil, rows: rows,
                    columns: columns, tokens: batch.tokens, floats: batch.parts.floats,
                    quants: batch.parts.quants, scales: batch.parts.scales,
                    sums: batch.parts.sums, y: y + matrix.rowOffset, y_stride: stride)
                let pieces = TilePieces(
                    rows: rows, tileBytes: tileBytes, tokens: batch.tokens,
                    memberCount: batch.memberCount)
                unsafe body(
                    ProductJob(
                        table: table, format: matrix.format.kernelNumber, product: product,
                        pieces: pieces))
            }
        }
    }
}

/// The activations of an operation. The pointers live as long as the call that made it.
@safe
private struct ProductBatch {
    let parts: ProductInputPointers
    let tokens: Int
    let columns: Int
    let memberCount: Int

    init(_ input: borrowing ProductInput, tokens: Int, columns: Int, _ team: ComputeTeam) {
        precondition(input.holds(tokens: tokens, columns: columns))
        unsafe parts = input.pointers
        self.tokens = tokens
        self.columns = columns
        memberCount = team.memberCount
    }
}

/// How a product's tiles are cut for the team: small enough that uneven cores finish together. For
/// a few tokens a piece's weights stay in a core's own cache while all of them pass; for many, the
/// kernels take some columns of 16 tiles at a time, and two tiles together.
struct TilePieces {
    static let pieceBytesMax = 256 << 10
    static let pieceTilesMax = 16
    static let manyTokens = 8
    static let piecesPerMember = 4
    /// Tiles that float products take together, so that one's sums are added to while another's
    /// are waited for.
    static let tilesTogether = 4

    let tileCount: Int
    let tilesPerPiece: Int

    /// No tiles.
    init() {
        tileCount = 0
        tilesPerPiece = 1
    }

    init(rows: Int, tileBytes: Int, tokens: Int, memberCount: Int) {
        tileCount = (rows + WeightFormat.tileRows - 1) / WeightFormat.tileRows
        let shares = memberCount > 1 ? memberCount * Self.piecesPerMember : 1
        let fair = (tileCount + shares - 1) / shares
        if tokens < Self.manyTokens {
            tilesPerPiece = min(max(Self.tilesTogether, Self.pieceBytesMax / tileBytes), fair)
        } else {
            tilesPerPiece = min(Self.pieceTilesMax, (fair + 1) / 2 * 2)
        }
    }

    var count: Int { (tileCount + tilesPerPiece - 1) / tilesPerPiece }

    func tiles(of piece: Int) -> Range<Int> {
        let first = piece * tilesPerPiece
        return first..<min(first + tilesPerPiece, tileCount)
    }
}

/// What the team's members need of a product. The pointers live as long as the call that made it.
@safe
private struct ProductJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let format: Int32
    let product: ckernels_product
    let pieces: TilePieces

    init(
        table: UnsafePointer<ckernels_table>, format: Int32 = 0,
        product: ckernels_product = unsafe ckernels_product(), pieces: TilePieces = TilePieces()
    ) {
        unsafe self.table = table
        self.format = format
        unsafe self.product = product
        self.pieces = pieces
    }

    func run(piece: Int) {
        let tiles = pieces.tiles(of: piece)
        var product = unsafe product
        unsafe ckernels_multiply(table, format, &product, tiles.lowerBound, tiles.upperBound)
    }
}
