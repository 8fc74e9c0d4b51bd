// Many products as one operation of the team: the extents of matrices that share an input, the same
// part of several experts. Collected first, then run; what each computes is Kernels.multiply's.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// Products that are run together. Keeps its memory from one group to the next.
///
/// Weights, inputs and results must stay where they are until ``Kernels/multiply(_:team:)``: they
/// lie in arenas, which stay.
@safe
package struct ProductGroup: ~Copyable {
    fileprivate var products: [GroupedProduct] = []
    /// Pieces of the products before each.
    fileprivate var firstPieces: [Int] = []
    fileprivate var pieceCount = 0

    package init() {}

    package var isEmpty: Bool { products.isEmpty }

    /// Adds the product of a matrix with rows of an input.
    ///
    /// - Parameters:
    ///   - firstRow: of `input`, `tokens` of whose rows are used.
    ///   - y: results; those of the first row begin at element `start` plus the matrix's
    ///     `rowOffset`.
    package mutating func add(
        _ matrix: borrowing ProductMatrix, columns: Int, by input: borrowing ProductInput,
        firstRow: Int = 0, tokens: Int, into y: inout Buffer<Float>, at start: Int = 0,
        memberCount: Int
    ) {
        let (rows, stride) = (matrix.rows, matrix.outputStride)
        guard rows > 0, tokens > 0 else { return }
        let needed = matrix.format.tiledBytes(rows: rows, columns: columns)
        precondition(columns > 0 && matrix.weights.byteCount >= needed)
        precondition(firstRow >= 0 && input.holds(tokens: firstRow + tokens, columns: columns))
        precondition(matrix.rowOffset >= 0 && matrix.rowOffset + rows <= stride)
        precondition(start >= 0)
        precondition(start + (tokens - 1) * stride + matrix.rowOffset + rows <= y.count)
        let parts = unsafe input.pointers
        let blocks = firstRow * (columns / ProductInput.blockElements)
        var results = y.mutableSpan
        let product = unsafe ckernels_product(
            weights: matrix.weights.start, row_list: nil, rows: rows, columns: columns,
            tokens: tokens, floats: parts.floats + firstRow * columns,
            quants: parts.quants + firstRow * columns, scales: parts.scales + blocks,
            sums: parts.sums + blocks * ProductInputPointers.sumsPerBlock,
            y: results.start + start + matrix.rowOffset, y_stride: stride)
        let pieces = TilePieces(
            rows: rows, tileBytes: WeightFormat.tileRows * matrix.format.rowBytes(columns: columns),
            tokens: tokens, memberCount: memberCount)
        products.append(
            unsafe GroupedProduct(
                format: matrix.format.kernelNumber, product: product, pieces: pieces))
        firstPieces.append(pieceCount)
        pieceCount += pieces.count
    }

    /// The latest product gets a bias, as floats, one for each of its rows: it must stay where it
    /// is, too.
    package mutating func addBias(_ bytes: RawSpan) {
        guard let last = products.indices.last else { preconditionFailure("a product first") }
        let rows = unsafe products[last].product.rows
        precondition(bytes.byteCount == rows * MemoryLayout<Float>.stride)
        unsafe products[last].bias = UnsafeRawPointer(bytes.start).assumingMemoryBound(
            to: Float.self)
    }

    package mutating func removeAll() {
        products.removeAll(keepingCapacity: true)
        firstPieces.removeAll(keepingCapacity: true)
        pieceCount = 0
    }
}

extension Kernels {
    /// Computes every product of `group`, and empties it.
    package func multiply(_ group: inout ProductGroup, team: ComputeTeam) {
        guard !group.isEmpty else { return }
        let job = unsafe GroupJob(
            table: table, products: group.products.span.start,
            firstPieces: group.firstPieces.span.start, productCount: group.products.count)
        unsafe team.run(pieces: group.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: GroupJob.self).pointee.run(piece: piece)
        }
        group.removeAll()
    }
}

@safe
private struct GroupedProduct {
    let format: Int32
    let product: ckernels_product
    let pieces: TilePieces
    /// Of each row; nil is none.
    var bias: UnsafePointer<Float>?

    /// Adds the bias of the rows of some tiles.
    func addBias(_ bias: UnsafePointer<Float>, _ tiles: Range<Int>) {
        let rows = tiles.lowerBound * WeightFormat.tileRows
        let end = unsafe min(tiles.upperBound * WeightFormat.tileRows, product.rows)
        for token in unsafe 0..<product.tokens {
            let y = unsafe product.y + token * product.y_stride
            for row in rows..<end { unsafe y[row] += bias[row] }
        }
    }
}

/// What the team's members need of a group. The pointers live as long as the call that made it.
@safe
private struct GroupJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let products: UnsafePointer<GroupedProduct>
    let firstPieces: UnsafePointer<Int>
    let productCount: Int

    func run(piece: Int) {
        // The last product that begins at or before the piece.
        var (low, high) = (0, productCount)
        while high - low > 1 {
            let middle = (low + high) / 2
            if unsafe firstPieces[middle] <= piece { low = middle } else { high = middle }
        }
        let tiles = unsafe products[low].pieces.tiles(of: piece - firstPieces[low])
        var product = unsafe products[low].product
        unsafe ckernels_multiply(
            table, products[low].format, &product, tiles.lowerBound, tiles.upperBound)
        if let bias = unsafe products[low].bias { unsafe products[low].addBias(bias, tiles) }
    }
}

extension WeightFormat {
    /// Whether products with this format read the activations' floats, not their 8-bit blocks.
    package var multipliesFloats: Bool {
        switch self {
        case .f32, .f16, .bf16: true
        default: false
        }
    }
}
