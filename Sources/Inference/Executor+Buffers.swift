// The kernels on ranges of the step's buffers: one place where buffers become spans.

internal import Compute
internal import LinuxSystem
internal import ModelFormat

extension AttentionShape {
    init(_ mixer: AttentionMixer, scale: Float, element: KVElement) {
        self.init(
            headCount: mixer.headCount, keyValueHeadCount: mixer.keyValueHeadCount,
            keyHeadWidth: mixer.keyHeadWidth, valueHeadWidth: mixer.valueHeadWidth,
            scale: scale, window: mixer.window, element: element)
    }
}

extension Kernels {
    /// Norm of `rows` rows of `x` from `firstRow` on, those of `added` from `firstAdded` on
    /// first added where that is due, into rows of `input` from `target` on.
    func normalize(
        _ x: inout Buffer<Float>, firstRow: Int, adding added: borrowing Buffer<Float>,
        from firstAdded: Int, isDue: Bool, rows: Int, by norm: Norm,
        into input: inout ProductInput, at target: Int, team: ComputeTeam
    ) {
        let width = norm.width
        var values = x.mutableSpan(in: (firstRow..<firstRow + rows).scaled(width))
        if isDue {
            let added = added.span.extracting((firstAdded..<firstAdded + rows).scaled(width))
            normalize(
                &values, adding: added, rows: rows, by: norm, into: &input, firstRow: target,
                team: team)
        } else {
            normalize(
                &values, adding: nil, rows: rows, by: norm, into: &input, firstRow: target,
                team: team)
        }
    }

    /// `rows` rows of `x` from `firstRow` on, `columns` each, into `input` as they are.
    func take(
        _ x: borrowing Buffer<Float>, firstRow: Int, rows: Int, columns: Int,
        into input: inout ProductInput, team: ComputeTeam
    ) {
        let values = x.span.extracting((firstRow..<firstRow + rows).scaled(columns))
        var target = input.floats.mutableSpan(in: 0..<rows * columns)
        for index in values.indices { target[index] = values[index] }
        prepare(&input, tokens: rows, columns: columns, team: team)
    }

    /// Finishes the projections of rows `tokens`, a sequence's from `firstPosition` on. Their
    /// angles are the rows from `firstAngle` on.
    func finishHeads(
        _ shape: AttentionShape, _ treatment: HeadTreatment, query: inout Buffer<Float>,
        key: inout Buffer<Float>, value: inout Buffer<Float>, cosines: borrowing Buffer<Float>,
        sines: borrowing Buffer<Float>, firstAngle: Int, tokens: Range<Int>, firstPosition: Int,
        pool: MemoryArena, pageOffsets: [Int], team: ComputeTeam
    ) {
        let heads = shape.keyValueHeadCount
        let angles = (firstAngle..<firstAngle + tokens.count).scaled(treatment.rotatedWidth / 2)
        var pages = pool.mutableBytes(at: 0, byteCount: pool.byteCount)
        var query = query.mutableSpan(in: tokens.scaled(shape.headCount * shape.keyHeadWidth))
        var key = key.mutableSpan(in: tokens.scaled(heads * shape.keyHeadWidth))
        var value = value.mutableSpan(in: tokens.scaled(heads * shape.valueHeadWidth))
        finishHeads(
            shape, treatment, query: &query, key: &key, value: &value,
            angles: RotaryAngles(
                cosines: cosines.span.extracting(angles), sines: sines.span.extracting(angles)),
            firstPosition: firstPosition, tokens: tokens.count, pool: &pages,
            pageOffsets: pageOffsets.span, team: team)
    }

    /// Attention of rows `tokens`, a sequence's from `firstPosition` on.
    func attend(
        _ shape: AttentionShape, queries: borrowing Buffer<Float>, tokens: Range<Int>,
        firstPosition: Int, pool: MemoryArena, pageOffsets: [Int],
        partials: inout Buffer<Float>, into y: inout Buffer<Float>, team: ComputeTeam
    ) {
        let source = AttentionSource(
            firstPosition: firstPosition, tokens: tokens.count,
            pool: pool.bytes(at: 0, byteCount: pool.byteCount), pageOffsets: pageOffsets.span)
        var room = partials.mutableSpan
        var rows = y.mutableSpan(in: tokens.scaled(shape.headCount * shape.valueHeadWidth))
        attend(
            shape,
            queries: queries.span.extracting(tokens.scaled(shape.headCount * shape.keyHeadWidth)),
            source: source, partials: &room, into: &rows, team: team)
    }

    /// `act(gate) * up`, or `act(up)` for a network without a gate.
    func activate(
        _ activation: Activation, gate: borrowing Buffer<Float>, up: borrowing Buffer<Float>,
        isGated: Bool, rows: Int, columns: Int, into input: inout ProductInput, team: ComputeTeam
    ) {
        if isGated {
            activate(
                activation, gate: gate.span, up: up.span, rows: rows, columns: columns,
                into: &input, team: team)
        } else {
            activate(
                activation, gate: up.span, up: nil, rows: rows, columns: columns, into: &input,
                team: team)
        }
    }

    func gather(
        _ source: borrowing ProductInput, rows: [Int32], columns: Int, withFloats: Bool,
        into input: inout ProductInput, team: ComputeTeam
    ) {
        gather(
            source, rows: rows.span, columns: columns, withFloats: withFloats, into: &input, at: 0,
            team: team)
    }

    func gate(
        _ y: inout Buffer<Float>, by x: borrowing Buffer<Float>, weights: [Float], tokens: Int
    ) {
        var rows = y.mutableSpan
        gate(&rows, by: x.span, weights: weights.span, tokens: tokens, columns: weights.count)
    }

    /// `y[range] += x`, rows of `columns` elements; the first of `x` goes to the first of `range`.
    func add(
        _ x: borrowing Buffer<Float>, to y: inout Buffer<Float>, rows range: Range<Int>,
        columns: Int
    ) {
        var rows = y.mutableSpan(in: range.scaled(columns))
        add(x.span, scale: 1, to: &rows, count: rows.count)
    }

    /// `y[rows] += shared + Σ weight · row`, each token's experts in the order of its ranking.
    func addExperts(
        _ rows: borrowing Buffer<Float>, _ routing: Routing, shared: borrowing Buffer<Float>,
        hasShared: Bool, rows range: Range<Int>, columns: Int, to y: inout Buffer<Float>,
        team: ComputeTeam
    ) {
        let sums = ExpertSums(
            rows: rows.span, indices: routing.rows.span, weights: routing.weights.span,
            used: routing.expertsPerToken)
        var result = y.mutableSpan(in: range.scaled(columns))
        if hasShared {
            add(
                sums, shared: shared.span, tokens: range.count, columns: columns, to: &result,
                team: team)
        } else {
            add(sums, shared: nil, tokens: range.count, columns: columns, to: &result, team: team)
        }
    }
}

extension Range<Int> {
    /// A range of rows as a range of elements, `width` per row.
    func scaled(_ width: Int) -> Range<Int> { lowerBound * width..<upperBound * width }
}

extension Buffer<Float> {
    /// Sets the first `count` elements.
    mutating func fill(_ value: Float, count: Int) {
        var elements = mutableSpan(in: 0..<count)
        for index in 0..<count { elements[index] = value }
    }
}
