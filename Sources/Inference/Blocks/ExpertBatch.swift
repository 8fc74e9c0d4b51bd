// Experts of a layer that are computed together: collected first, then run, so that the same part
// of several experts is one operation of the team.

internal import Compute
internal import LinuxSystem
internal import Memory
internal import ModelFormat

extension BufferName {
    fileprivate static let normed = Self("experts, normed rows")
    fileprivate static let gate = Self("experts, gates")
    fileprivate static let up = Self("experts, ups")
    fileprivate static let gated = Self("experts, activations")
}

/// Collected experts, and what they are computed in. R below is rows that are computed together.
struct ExpertBatch: ~Copyable {
    private let executor: Executor
    private let activation: Activation
    private let width: Int
    private let rowsMax: Int
    /// Whether all rows are one token's, and read the same activations.
    var isOneToken = false
    /// Of each row, the token.
    private var tokens: [Int32] = []
    /// Gates and ups, then downs.
    private var firsts = ProductGroup()
    private var downs = ProductGroup()
    /// R × width: rows of the residual stream, where they are more than one token's.
    var normed: ProductInput
    /// R × expert width, each.
    private var gate: Buffer<Float>
    private var up: Buffer<Float>
    private var gated: ProductInput

    /// One expert may have all tokens, and all of one token's experts go together.
    private static func rowsMax(_ sizes: ActivationShape, _ experts: MixtureShape) -> Int {
        max(sizes.tokensMax, experts.usedCount)
    }

    static func declare(
        _ sizes: ActivationShape, _ experts: MixtureShape, in buffers: inout DeclaredBuffers
    ) {
        let (rows, width) = (rowsMax(sizes, experts), experts.width)
        buffers.add(
            .normed, .input(rows: rows, columns: sizes.model.width), .feedForward)
        buffers.add(.gate, .floats(experts.isGated ? rows * width : 0), .feedForward)
        buffers.add(.up, .floats(rows * width), .feedForward)
        buffers.add(.gated, .input(rows: rows, columns: width), .feedForward)
    }

    init(_ context: BlockContext, _ experts: MixtureShape) {
        executor = context.executor
        activation = experts.activation
        width = context.graph.shape.width
        rowsMax = Self.rowsMax(context.sizes, experts)
        normed = context.workspace.input(.normed)
        gate = context.workspace.floats(.gate)
        up = context.workspace.floats(.up)
        gated = context.workspace.input(.gated)
    }

    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        firsts.removeAll()
        downs.removeAll()
    }

    /// Whether there is room for so many rows more.
    func holds(_ rowCount: Int) -> Bool { tokens.count + rowCount <= rowsMax }

    /// Adds one expert's work on `rows`, the tokens that chose it. Its results go to the rows of
    /// `outputs` from `target` on.
    mutating func collect(
        _ experts: PackedExpertLayer, _ bundle: RawSpan, _ rows: ArraySlice<Int32>,
        by input: borrowing ProductInput, into outputs: inout Buffer<Float>, at target: Int
    ) {
        let first = tokens.count
        tokens.append(contentsOf: rows)
        let own = first..<first + rows.count
        let memberCount = executor.team.memberCount
        let bundle = ExpertBundle(experts, bundle)
        let isGated = experts.gate != nil
        if isOneToken {
            if isGated {
                firsts.add(.gate, of: bundle, by: input, 0..<1, into: &gate, at: first, memberCount)
            }
            firsts.add(.up, of: bundle, by: input, 0..<1, into: &up, at: first, memberCount)
        } else {
            if isGated {
                firsts.add(.gate, of: bundle, by: normed, own, into: &gate, at: first, memberCount)
            }
            firsts.add(.up, of: bundle, by: normed, own, into: &up, at: first, memberCount)
        }
        downs.add(.down, of: bundle, by: gated, own, into: &outputs, at: target, memberCount)
    }

    /// Computes what was collected, and empties it: all gates and ups, activations, all downs.
    mutating func compute(
        _ experts: PackedExpertLayer, _ input: borrowing ProductInput, bound: Float?
    ) {
        let rowCount = tokens.count
        guard rowCount > 0 else { return }
        let start = MonotonicClock.nanoseconds
        if !isOneToken {
            executor.gather(
                input, rows: tokens, columns: width,
                withFloats: experts.gate?.format.multipliesFloats == true
                    || experts.up.format.multipliesFloats,
                into: &normed)
        }
        executor.multiply(&firsts)
        executor.activate(
            activation, gate: &gate, up: up, isGated: experts.gate != nil, bound: bound,
            rows: rowCount, columns: experts.up.rows, into: &gated)
        executor.multiply(&downs)
        tokens.removeAll(keepingCapacity: true)
        executor.count(since: start)
    }
}

/// One expert's bytes, and what is where in them.
private struct ExpertBundle: ~Escapable {
    let layer: PackedExpertLayer
    let bytes: RawSpan

    @_lifetime(copy bytes)
    init(_ layer: PackedExpertLayer, _ bytes: RawSpan) {
        self.layer = layer
        self.bytes = bytes
    }
}

extension ProductGroup {
    /// Adds rows of `input` times a part of a bundle, plus its bias where it has one; results go to
    /// the rows of `output` from `row` on.
    fileprivate mutating func add(
        _ name: ExpertPart, of bundle: borrowing ExpertBundle,
        by input: borrowing ProductInput, _ rows: Range<Int>, into output: inout Buffer<Float>,
        at row: Int, _ memberCount: Int
    ) {
        let part = bundle.layer[name]
        let bytes = bundle.bytes.extracting(part.byteOffset..<part.byteOffset + part.byteCount)
        add(
            ProductMatrix(bytes, format: part.format, rows: part.rows), columns: part.columns,
            by: input, firstRow: rows.lowerBound, tokens: rows.count, into: &output,
            at: row * part.rows, memberCount: memberCount)
        if let biases = bundle.layer.biases(of: name) {
            addBias(bundle.bytes.extracting(biases))
        }
    }
}
