// Feed-forward networks by the neuron: the activation and who fires, rows of up for those alone,
// and the sum of their columns, always in the order of their numbers. The arithmetic is in
// ckernels.h.

internal import CKernels
package import LinuxSystem
package import ModelFormat

extension Kernels {
    /// Applies the activation to the first projection, in place, and notes who fires.
    ///
    /// - Parameters:
    ///   - roundsTo8Bits: whether results are rounded to 8-bit blocks of 32 neurons, as products
    ///     of quantised formats round them; not where neurons are no multiple of 32.
    ///   - threshold: results of less magnitude become 0, before any rounding.
    ///   - first: `[tokens][neurons]`.
    ///   - values: receives the same turned, group by group: `[neurons][tokens of the group]`.
    package func fire(
        _ activation: Activation, _ first: inout Buffer<Float>, tokens: Int, neurons: Int,
        roundsTo8Bits: Bool, threshold: Float = 0, values: inout Buffer<Float>,
        _ batch: inout NeuronBatch, team: ComputeTeam
    ) {
        precondition(tokens <= batch.tokensMax && neurons <= batch.neuronsMax)
        precondition(tokens * neurons <= min(first.count, values.count))
        batch.tokens = tokens
        batch.neurons = neurons
        guard tokens > 0, neurons > 0 else { return }
        var x = first.mutableSpan
        var turned = values.mutableSpan
        var masks = batch.masks.mutableSpan
        let job = unsafe FireJob(
            table: table, activation: activation.kernelNumber, tokens: tokens, neurons: neurons,
            rounds: roundsTo8Bits && neurons % ProductInput.blockElements == 0,
            threshold: threshold, x: x.start, values: turned.start, masks: masks.start)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: FireJob.self).pointee.run(piece: piece)
        }
    }

    /// Multiplies the values of the listed neurons by their rows of up: each record's beginning.
    ///
    /// - Parameters:
    ///   - input: what the rows are multiplied with, all tokens of the step.
    ///   - products: room for the listed neurons' results for each token of the group.
    package func multiplyListed(
        _ batch: inout NeuronBatch, format: WeightFormat, columns: Int,
        by input: borrowing ProductInput, products: inout Buffer<Float>,
        values: inout Buffer<Float>, team: ComputeTeam
    ) {
        let tokens = batch.tokens(ofGroup: batch.group)
        guard batch.count > 0 else { return }
        precondition(input.holds(tokens: tokens.upperBound, columns: columns) && columns > 0)
        precondition(tokens.count * batch.count <= products.count)
        let blocks = tokens.lowerBound * (columns / ProductInput.blockElements)
        let parts = unsafe input.pointers
        var up = products.mutableSpan
        var turned = values.mutableSpan
        let at = tokens.lowerBound * batch.neurons
        let product = unsafe ckernels_product(
            weights: nil, row_list: batch.recordList, rows: batch.count, columns: columns,
            tokens: tokens.count, floats: parts.floats + tokens.lowerBound * columns,
            quants: parts.quants + tokens.lowerBound * columns, scales: parts.scales + blocks,
            sums: parts.sums + blocks * ProductInputPointers.sumsPerBlock, y: up.start,
            y_stride: batch.count)
        let pieces = TilePieces(
            rows: batch.count, tileBytes: WeightFormat.tileRows * format.rowBytes(columns: columns),
            tokens: tokens.count, memberCount: team.memberCount)
        let job = unsafe ListedJob(
            table: table, format: format.kernelNumber, product: product, pieces: pieces,
            neurons: batch.listed.span.start,
            masks: UnsafeMutablePointer(mutating: batch.masks.span.start)
                + batch.group * batch.neurons,
            values: turned.start + at)
        unsafe team.run(pieces: pieces.count, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ListedJob.self).pointee.run(piece: piece)
        }
    }

    /// The first projection of the listed neurons of a step of one token, and the activation:
    /// each neuron's value, and whether it fires. Records are rows of the first projection.
    ///
    /// - Parameters:
    ///   - input: what the rows are multiplied with.
    ///   - bias: `[neurons]`, added before the activation; none where there is none.
    ///   - threshold: results of less magnitude become 0.
    ///   - products: room for the listed neurons' results.
    ///   - values: `[neurons]`.
    package func fireListed(
        _ batch: inout NeuronBatch, _ activation: Activation, format: WeightFormat, columns: Int,
        by input: borrowing ProductInput, bias: [Float], threshold: Float = 0,
        products: inout Buffer<Float>, values: inout Buffer<Float>, team: ComputeTeam
    ) {
        guard batch.count > 0 else { return }
        precondition(batch.tokens == 1 && input.holds(tokens: 1, columns: columns) && columns > 0)
        precondition(batch.count <= products.count && batch.neurons <= values.count)
        let parts = unsafe input.pointers
        var results = products.mutableSpan
        let product = unsafe ckernels_product(
            weights: nil, row_list: batch.recordList, rows: batch.count, columns: columns,
            tokens: 1, floats: parts.floats, quants: parts.quants, scales: parts.scales,
            sums: parts.sums, y: results.start, y_stride: batch.count)
        let pieces = TilePieces(
            rows: batch.count, tileBytes: WeightFormat.tileRows * format.rowBytes(columns: columns),
            tokens: 1, memberCount: team.memberCount)
        let job = unsafe RowsJob(
            table: table, format: format.kernelNumber, product: product, pieces: pieces)
        unsafe team.run(pieces: pieces.count, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: RowsJob.self).pointee.run(piece: piece)
        }
        if !bias.isEmpty {
            for index in 0..<batch.count { results[index] += bias[batch.neuron(index)] }
        }
        activate(activation, &results, count: batch.count)
        if threshold > 0 { unsafe ckernels_drop_below(threshold, results.start, batch.count) }
        batch.setFired(results.span, &values)
    }

    /// Adds the listed neurons' columns, each times its value, to the results of the group's
    /// tokens.
    ///
    /// - Parameters:
    ///   - format: of columns of `width` elements.
    ///   - recordOffset: where in a record the column begins.
    ///   - scales: halves `[neurons / 32][width]` where columns are signed bytes without scales.
    ///   - y: `[tokens of the step][width]`.
    package func addListed(
        _ batch: borrowing NeuronBatch, format: WeightFormat, width: Int, recordOffset: Int,
        scales: RawSpan?, values: borrowing Buffer<Float>, to y: inout Buffer<Float>,
        team: ComputeTeam
    ) {
        let tokens = batch.tokens(ofGroup: batch.group)
        guard batch.count > 0, width > 0 else { return }
        precondition(tokens.upperBound * width <= y.count)
        precondition(recordOffset >= 0)
        var scalesStart: UnsafePointer<UInt8>?
        if let scales {
            let blocks = (batch.neurons + ProductInput.blockElements - 1)
            precondition(
                scales.byteCount >= blocks / ProductInput.blockElements * width * 2)
            unsafe scalesStart = scales.start
        } else {
            precondition([.f32, .f16, .bf16, .q8_0].contains(format), "columns of other formats")
            precondition(width % format.blockElements == 0)
        }
        var sums = y.mutableSpan
        let columns = unsafe ckernels_columns(
            records: batch.recordList, record_offset: recordOffset,
            neurons: batch.listed.span.start, count: batch.count,
            masks: batch.masks.span.start + batch.group * batch.neurons,
            values: values.span.start + tokens.lowerBound * batch.neurons, tokens: tokens.count,
            scales: scalesStart, width: width, y: sums.start + tokens.lowerBound * width,
            y_stride: width)
        let job = unsafe ColumnsJob(
            table: table, format: format.kernelNumber, columns: columns, width: width,
            memberCount: team.memberCount)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ColumnsJob.self).pointee.run(piece: piece)
        }
    }
}

extension NeuronBatch {
    /// The records' addresses as C takes them. Use only while the batch is borrowed.
    @unsafe
    fileprivate var recordList: UnsafePointer<UnsafePointer<UInt8>?> {
        unsafe UnsafeRawPointer(records.span.start).assumingMemoryBound(
            to: UnsafePointer<UInt8>?.self)
    }
}

/// What the team's members need to apply an activation. The pointers live as long as the call that
/// made it.
@safe
private struct FireJob: @unchecked Sendable {
    /// Whole cache lines; what a piece writes turned is in the second-level cache.
    static let neuronsPerPiece = 512

    let table: UnsafePointer<ckernels_table>
    let activation: Int32
    let tokens: Int
    let neurons: Int
    let rounds: Bool
    let threshold: Float
    let x: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let masks: UnsafeMutablePointer<UInt64>

    private var piecesPerGroup: Int {
        (neurons + Self.neuronsPerPiece - 1) / Self.neuronsPerPiece
    }

    var pieceCount: Int { NeuronBatch.groups(of: tokens) * piecesPerGroup }

    func run(piece: Int) {
        let (group, part) = piece.quotientAndRemainder(dividingBy: piecesPerGroup)
        let first = part * Self.neuronsPerPiece
        let end = min(first + Self.neuronsPerPiece, neurons)
        let token = group * NeuronBatch.groupTokensMax
        let count = min(NeuronBatch.groupTokensMax, tokens - token)
        let rows = unsafe x + token * neurons
        for t in 0..<count {
            let row = unsafe rows + t * neurons + first
            unsafe table.pointee.activate(activation, row, nil, row, end - first)
            if threshold > 0 { unsafe ckernels_drop_below(threshold, row, end - first) }
            if rounds { unsafe round(row, count: end - first) }
        }
        unsafe ckernels_turn_activations(
            rows, neurons, count, first, end, masks + group * neurons, values + token * neurons)
    }

    private func round(_ row: UnsafeMutablePointer<Float>, count: Int) {
        let blocks = count / ProductInput.blockElements
        unsafe withUnsafeTemporaryAllocation(of: Int8.self, capacity: count) { quants in
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks) { scales in
                unsafe withUnsafeTemporaryAllocation(
                    of: Int32.self, capacity: blocks * ProductInputPointers.sumsPerBlock
                ) { sums in
                    unsafe table.pointee.quantize(
                        row, blocks, quants.baseAddress!, scales.baseAddress!, sums.baseAddress!)
                    unsafe ckernels_widen_quants(
                        quants.baseAddress!, scales.baseAddress!, blocks, row)
                }
            }
        }
    }
}

/// What the team's members need of a product by listed rows. The pointers live as long as the call
/// that made it.
@safe
private struct ListedJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let format: Int32
    let product: ckernels_product
    let pieces: TilePieces
    let neurons: UnsafePointer<UInt32>
    let masks: UnsafeMutablePointer<UInt64>
    let values: UnsafeMutablePointer<Float>

    func run(piece: Int) {
        let tiles = pieces.tiles(of: piece)
        var product = unsafe product
        unsafe ckernels_multiply(table, format, &product, tiles.lowerBound, tiles.upperBound)
        let first = tiles.lowerBound * WeightFormat.tileRows
        let end = unsafe min(tiles.upperBound * WeightFormat.tileRows, product.rows)
        unsafe ckernels_scale_fired(
            product.y, product.y_stride, product.tokens, neurons, first, end, masks, values)
    }
}

/// What the team's members need of a product by rows. The pointers live as long as the call that
/// made it.
@safe
private struct RowsJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let format: Int32
    let product: ckernels_product
    let pieces: TilePieces

    func run(piece: Int) {
        let tiles = pieces.tiles(of: piece)
        var product = unsafe product
        unsafe ckernels_multiply(table, format, &product, tiles.lowerBound, tiles.upperBound)
    }
}

/// What the team's members need to sum columns. The pointers live as long as the call that made it.
@safe
private struct ColumnsJob: @unchecked Sendable {
    /// Elements that are not split: cache lines of results are one member's.
    static let unit = 64
    static let piecesPerMember = 2

    let table: UnsafePointer<ckernels_table>
    let format: Int32
    let columns: ckernels_columns
    let width: Int
    private let elementsPerPiece: Int

    init(
        table: UnsafePointer<ckernels_table>, format: Int32, columns: ckernels_columns,
        width: Int, memberCount: Int
    ) {
        unsafe self.table = table
        self.format = format
        unsafe self.columns = columns
        self.width = width
        let shares = memberCount > 1 ? memberCount * Self.piecesPerMember : 1
        let fair = (width + shares - 1) / shares
        elementsPerPiece = (fair + Self.unit - 1) / Self.unit * Self.unit
    }

    var pieceCount: Int { (width + elementsPerPiece - 1) / elementsPerPiece }

    func run(piece: Int) {
        let first = piece * elementsPerPiece
        var columns = unsafe columns
        unsafe table.pointee.add_columns(
            format, &columns, first, min(first + elementsPerPiece, width))
    }
}
