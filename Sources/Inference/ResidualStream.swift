// What flows through the layers: every half of a layer reads a norm of it and adds to it.

internal import Compute
internal import LinuxSystem
internal import Memory
internal import ModelFormat

extension BufferName {
    fileprivate static let hidden = Self("residual stream")
    fileprivate static let normed = Self("residual stream, normed")
    fileprivate static let projected = Self("residual stream, to be added")
}

/// The residual stream of a pass, and what is about to be added to it.
struct ResidualStream: ~Copyable {
    private let width: Int
    private let executor: Executor
    /// Pass tokens × width.
    var hidden: Buffer<Float>
    /// A wave's rows, normed: wave tokens × width. What the halves of a layer read.
    private(set) var normed: ProductInput
    /// What a half of a layer adds: wave tokens × width.
    var projected: Buffer<Float>
    /// Whether `projected` is still to be added to `hidden`; the next norm does it on its way.
    private var isProjectedDue = false

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, width) = (sizes.tokensMax, sizes.model.width)
        buffers.add(.hidden, .floats(sizes.passTokensMax * width), .always)
        buffers.add(
            .normed, .input(rows: tokens, columns: width), [.mixerInput, .feedForward])
        buffers.add(
            .projected, .floats(tokens * width),
            [.mixerInput, .mixerOutput, .feedForward, .output])
    }

    init(_ context: BlockContext) {
        width = context.graph.shape.width
        executor = context.executor
        hidden = context.workspace.floats(.hidden)
        normed = context.workspace.input(.normed)
        projected = context.workspace.floats(.projected)
    }

    /// Begins a pass: nothing is due.
    mutating func begin() { isProjectedDue = false }

    /// Row `row` becomes an embedding.
    mutating func embed(
        _ bytes: RawSpan, format: WeightFormat, scale: Float?, row: Int
    ) {
        let (executor, width) = (executor, width)
        var values = hidden.mutableSpan(in: (row..<row + 1).scaled(width))
        executor.kernels.dequantize(row: bytes, format: format, columns: width, into: &values)
        if let scale { executor.kernels.scale(&values, by: scale) }
    }

    /// Adds an embedding to row `row`. Nothing may be due.
    mutating func addEmbedding(_ bytes: RawSpan, format: WeightFormat, row: Int) {
        let (executor, width) = (executor, width)
        var values = projected.mutableSpan(in: 0..<width)
        executor.kernels.dequantize(row: bytes, format: format, columns: width, into: &values)
        executor.add(projected, to: &hidden, rows: row..<row + 1, columns: width)
    }

    /// Norms a wave's rows into `normed`, ready for products; adds first what is due. Without a
    /// norm takes them as they are.
    mutating func normalize(by norm: Norm?, _ wave: Wave) {
        guard let norm else {
            addProjected(wave)
            executor.take(wave.rows, of: hidden, columns: width, into: &normed)
            return
        }
        let rows = NormedRows(
            rows: wave.rows, addedFrom: isProjectedDue ? 0 : nil, target: 0)
        executor.normalize(rows, of: &hidden, adding: projected, by: norm, into: &normed)
        isProjectedDue = false
    }

    /// Norms rows of a pass that was one wave, or of whose waves nothing is due, into those of
    /// `input` from `target` on. What is due stays so.
    mutating func normalize(
        _ rows: Range<Int>, by norm: Norm, into input: inout ProductInput, at target: Int
    ) {
        let rows = NormedRows(
            rows: rows, addedFrom: isProjectedDue ? rows.lowerBound : nil, target: target)
        executor.normalize(rows, of: &hidden, adding: projected, by: norm, into: &input)
    }

    /// What a half of a layer adds is in `projected`: normed and scaled where the layer says so, it
    /// is due.
    mutating func addLater(_ norm: Norm?, scale: Float?, tokens: Int) {
        if let norm { normalizeProjected(by: norm, tokens: tokens) }
        scaleProjected(by: scale, tokens: tokens)
        isProjectedDue = true
    }

    mutating func scaleProjected(by scale: Float?, tokens: Int) {
        guard let scale else { return }
        executor.scale(&projected, count: tokens * width, by: scale)
    }

    /// Multiplies a wave's rows, what is due included.
    mutating func scale(_ wave: Wave, by factor: Float) {
        addProjected(wave)
        let (executor, width) = (executor, width)
        var rows = hidden.mutableSpan(in: wave.rows.scaled(width))
        executor.kernels.scale(&rows, by: factor)
    }

    /// Norms what is to be added, and lays it aside.
    mutating func layAside(in kept: inout Buffer<Float>, by norm: Norm, tokens: Int) {
        normalizeProjected(by: norm, tokens: tokens)
        executor.copy(projected, count: tokens * width, to: &kept)
    }

    /// Norms what is to be added, and adds what was laid aside.
    mutating func takeBack(_ kept: borrowing Buffer<Float>, by norm: Norm, tokens: Int) {
        normalizeProjected(by: norm, tokens: tokens)
        executor.add(kept, to: &projected, rows: 0..<tokens, columns: width)
    }

    private mutating func normalizeProjected(by norm: Norm, tokens: Int) {
        let (executor, width) = (executor, width)
        var rows = projected.mutableSpan(in: 0..<tokens * width)
        executor.kernels.normalizeInPlace(&rows, rows: tokens, by: norm)
    }

    /// Adds what is due to the rows of a pass that was one wave.
    mutating func settle(tokens: Int) {
        guard isProjectedDue else { return }
        executor.add(projected, to: &hidden, rows: 0..<tokens, columns: width)
        isProjectedDue = false
    }

    /// Calls `body` with a row of a pass after a norm. Nothing may be due.
    mutating func withNormed(row: Int, by norm: Norm, _ body: (Span<Float>) -> Void) {
        executor.copy(row: row, of: hidden, columns: width, to: &projected)
        normalizeProjected(by: norm, tokens: 1)
        func call(_ row: borrowing Buffer<Float>) { body(row.span.extracting(0..<width)) }
        call(projected)
    }

    /// Adds what is due now, because another wave comes in between.
    mutating func addProjected(_ wave: Wave) {
        guard isProjectedDue else { return }
        executor.add(projected, to: &hidden, rows: wave.rows, columns: width)
        isProjectedDue = false
    }
}
