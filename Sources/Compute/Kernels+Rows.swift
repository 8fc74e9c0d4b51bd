// What happens to whole rows between products, fused so that a row is passed over while it is in
// cache, and split over the team by rows. A single token's rows stay on the caller.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// Experts' results on their way into the residual stream.
package struct ExpertSums: ~Escapable {
    let rows: Span<Float>
    let indices: Span<Int32>
    let weights: Span<Float>
    let used: Int

    /// - Parameters:
    ///   - rows: experts' results, as wide as the residual stream.
    ///   - indices: `[tokens][used]`: which of `rows`, in the order of a token's ranking.
    ///   - weights: `[tokens][used]`.
    @_lifetime(copy rows, copy indices, copy weights)
    package init(rows: Span<Float>, indices: Span<Int32>, weights: Span<Float>, used: Int) {
        self.rows = rows
        self.indices = indices
        self.weights = weights
        self.used = used
    }
}

extension Kernels {
    /// `x += added` unless that is nil, then `norm` of `x` into `input`, ready for products.
    ///
    /// - Parameters:
    ///   - x: `[rows][norm.width]`; `added` alike.
    ///   - firstRow: the row of `input` that the first goes to.
    package func normalize(
        _ x: inout MutableSpan<Float>, adding added: Span<Float>?, rows: Int, by norm: Norm,
        into input: inout ProductInput, firstRow: Int = 0, team: ComputeTeam
    ) {
        let columns = norm.width
        guard rows > 0, columns > 0 else { return }
        precondition(x.count >= rows * columns)
        precondition(firstRow >= 0 && input.holds(tokens: firstRow + rows, columns: columns))
        var addedStart: UnsafePointer<Float>?
        if let added {
            precondition(added.count >= rows * columns)
            unsafe addedStart = added.start
        }
        let job = unsafe NormJob(
            table: table, rows: rows, x: x.start, added: addedStart, norm: norm,
            input: input.pointers, firstRow: firstRow)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: NormJob.self).pointee.run(piece: piece)
        }
    }

    /// `x *= factor`.
    package func scale(_ x: inout MutableSpan<Float>, by factor: Float) {
        for index in x.indices { x[index] *= factor }
    }

    /// A network's middle into `input`, ready for products: `act(gate) * up`, or `act(gate)` when
    /// `up` is nil.
    ///
    /// - Parameter gate: `[rows][columns]`; `up` alike.
    package func activate(
        _ activation: Activation, gate: Span<Float>, up: Span<Float>?, rows: Int, columns: Int,
        into input: inout ProductInput, team: ComputeTeam
    ) {
        let count = rows * columns
        guard count > 0 else { return }
        precondition(gate.count >= count && input.holds(tokens: rows, columns: columns))
        precondition(up != nil || activation.isOneOperand)
        var upStart: UnsafePointer<Float>?
        if let up {
            precondition(up.count >= count)
            unsafe upStart = up.start
        }
        let job = unsafe ActivationJob(
            table: table, activation: activation.kernelNumber, count: count,
            isQuantized: columns % ProductInput.blockElements == 0, gate: gate.start,
            up: upStart, input: input.pointers)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ActivationJob.self).pointee.run(piece: piece)
        }
    }

    /// `y[t] += shared[t] + Σ weight · row` over each token's experts, in the order of its ranking.
    ///
    /// - Parameter shared: the shared network's results, or nil.
    package func add(
        _ experts: borrowing ExpertSums, shared: Span<Float>?, tokens: Int, columns: Int,
        to y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        guard tokens > 0, columns > 0 else { return }
        let used = experts.used
        precondition(min(experts.indices.count, experts.weights.count) >= tokens * used)
        precondition(y.count >= tokens * columns)
        for place in 0..<tokens * used {
            let row = Int(experts.indices[place])
            precondition(row >= 0 && (row + 1) * columns <= experts.rows.count)
        }
        var sharedStart: UnsafePointer<Float>?
        if let shared {
            precondition(shared.count >= tokens * columns)
            unsafe sharedStart = shared.start
        }
        let job = unsafe ExpertSumJob(
            table: table, tokens: tokens, columns: columns, used: used, rows: experts.rows.start,
            indices: experts.indices.start, weights: experts.weights.start, shared: sharedStart,
            y: y.start)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ExpertSumJob.self).pointee.run(piece: piece)
        }
    }

    /// Copies prepared rows: row `target + i` of `input` becomes row `rows[i]` of `source` (tokens
    /// that an expert serves). The floats are copied only where `withFloats`, or where there
    /// are no 8-bit blocks.
    package func gather(
        _ source: borrowing ProductInput, rows: Span<Int32>, columns: Int, withFloats: Bool,
        into input: inout ProductInput, at target: Int, team: ComputeTeam
    ) {
        guard !rows.isEmpty, columns > 0 else { return }
        precondition(target >= 0 && input.holds(tokens: target + rows.count, columns: columns))
        for index in 0..<rows.count {
            let row = Int(rows[index])
            precondition(row >= 0 && source.holds(tokens: row + 1, columns: columns))
        }
        let job = unsafe GatherJob(
            rows: rows.start, count: rows.count, columns: columns, withFloats: withFloats,
            target: target, source: source.pointers, input: input.pointers)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: GatherJob.self).pointee.run(piece: piece)
        }
    }

    /// `y[t] *= sigmoid(Σ weights · x[t])`: the shared expert's own gate (Qwen 2 MoE).
    package func gate(
        _ y: inout MutableSpan<Float>, by x: Span<Float>, weights: Span<Float>, tokens: Int,
        columns: Int
    ) {
        precondition(min(x.count, y.count) >= tokens * columns && weights.count >= columns)
        guard tokens > 0, columns > 0 else { return }
        unsafe table.pointee.gate_rows(
            x.start, weights.start, tokens, columns, y.start)
    }
}

extension ProductInputPointers {
    /// Quantises blocks `range` of the floats, of all rows together.
    func quantize(_ range: Range<Int>, by table: UnsafePointer<ckernels_table>) {
        let element = range.lowerBound * ProductInput.blockElements
        unsafe table.pointee.quantize(
            floats + element, range.count, UnsafeMutablePointer(mutating: quants + element),
            UnsafeMutablePointer(mutating: scales + range.lowerBound),
            UnsafeMutablePointer(mutating: sums + range.lowerBound * Self.sumsPerBlock))
    }
}

/// Norms of some rows. The pointers live as long as the call that made it, in these jobs.
@safe
private struct NormJob: @unchecked Sendable {
    static let rowsPerPiece = 8

    let table: UnsafePointer<ckernels_table>
    let rows: Int
    let x: UnsafeMutablePointer<Float>
    let added: UnsafePointer<Float>?
    let norm: Norm
    let input: ProductInputPointers
    let firstRow: Int

    var pieceCount: Int { (rows + Self.rowsPerPiece - 1) / Self.rowsPerPiece }

    func run(piece: Int) {
        let first = piece * Self.rowsPerPiece
        let columns = norm.width
        for row in first..<min(first + Self.rowsPerPiece, rows) {
            let start = row * columns
            unsafe norm.run(
                table, x + start, adding: added.map { unsafe $0 + start }, rows: 1,
                into: UnsafeMutablePointer(mutating: input.floats + firstRow * columns + start))
            guard columns % ProductInput.blockElements == 0 else { continue }
            let blocks = columns / ProductInput.blockElements
            let target = (firstRow + row) * blocks
            unsafe input.quantize(target..<target + blocks, by: table)
        }
    }
}

@safe
private struct ActivationJob: @unchecked Sendable {
    /// A multiple of the 8-bit block.
    static let elementsPerPiece = 4096

    let table: UnsafePointer<ckernels_table>
    let activation: Int32
    let count: Int
    let isQuantized: Bool
    let gate: UnsafePointer<Float>
    let up: UnsafePointer<Float>?
    let input: ProductInputPointers

    var pieceCount: Int { (count + Self.elementsPerPiece - 1) / Self.elementsPerPiece }

    func run(piece: Int) {
        let first = piece * Self.elementsPerPiece
        let length = min(Self.elementsPerPiece, count - first)
        unsafe table.pointee.activate(
            activation, gate + first, up.map { unsafe $0 + first },
            UnsafeMutablePointer(mutating: input.floats + first), length)
        guard isQuantized else { return }
        let block = ProductInput.blockElements
        unsafe input.quantize(first / block..<(first + length) / block, by: table)
    }
}

@safe
private struct ExpertSumJob: @unchecked Sendable {
    static let tokensPerPiece = 4

    let table: UnsafePointer<ckernels_table>
    let tokens: Int
    let columns: Int
    let used: Int
    let rows: UnsafePointer<Float>
    let indices: UnsafePointer<Int32>
    let weights: UnsafePointer<Float>
    let shared: UnsafePointer<Float>?
    let y: UnsafeMutablePointer<Float>

    var pieceCount: Int { (tokens + Self.tokensPerPiece - 1) / Self.tokensPerPiece }

    func run(piece: Int) {
        let first = piece * Self.tokensPerPiece
        for token in first..<min(first + Self.tokensPerPiece, tokens) {
            unsafe table.pointee.add_experts(
                rows, indices + token * used, weights + token * used, used, columns,
                shared.map { unsafe $0 + token * columns }, y + token * columns)
        }
    }
}

@safe
private struct GatherJob: @unchecked Sendable {
    static let rowsPerPiece = 16

    let rows: UnsafePointer<Int32>
    let count: Int
    let columns: Int
    let withFloats: Bool
    let target: Int
    let source: ProductInputPointers
    let input: ProductInputPointers

    var pieceCount: Int { (count + Self.rowsPerPiece - 1) / Self.rowsPerPiece }

    func run(piece: Int) {
        let first = piece * Self.rowsPerPiece
        let isQuantized = columns % ProductInput.blockElements == 0
        let blocks = columns / ProductInput.blockElements
        for index in first..<min(first + Self.rowsPerPiece, count) {
            let (from, to) = unsafe (Int(rows[index]), target + index)
            if withFloats || !isQuantized {
                unsafe Self.copy(source.floats, from, to: input.floats, to, width: columns)
            }
            guard isQuantized else { continue }
            unsafe Self.copy(source.quants, from, to: input.quants, to, width: columns)
            unsafe Self.copy(source.scales, from, to: input.scales, to, width: blocks)
            unsafe Self.copy(
                source.sums, from, to: input.sums, to,
                width: blocks * ProductInputPointers.sumsPerBlock)
        }
    }

    private static func copy<Element: BitwiseCopyable>(
        _ source: UnsafePointer<Element>, _ row: Int, to target: UnsafePointer<Element>,
        _ targetRow: Int, width: Int
    ) {
        unsafe UnsafeMutablePointer(mutating: target + targetRow * width).update(
            from: source + row * width, count: width)
    }
}
