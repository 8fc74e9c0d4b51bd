// The kernels on ranges of the step's buffers: one place where buffers become spans.

internal import Compute
internal import LinuxSystem
internal import ModelFormat

extension AttentionShape {
    init(_ mixer: AttentionMixer, scale: Float, format: KVFormat) {
        self.init(
            headCount: mixer.headCount, keyValueHeadCount: mixer.keyValueHeadCount,
            keyHeadWidth: mixer.keyHeadWidth, valueHeadWidth: mixer.valueHeadWidth,
            scale: scale, window: mixer.window, format: format)
        scoreCap = mixer.scoreCap
    }

    init(_ attention: LayerGraph.Attention, format: KVFormat) {
        self.init(attention.shape, scale: attention.scale, format: format)
        sinks = attention.sinks
        scoresValues = attention.latent != nil
    }
}

extension AttentionShape {
    /// One of `count` equal parts of the heads.
    func part(of count: Int) -> Self {
        var shape = self
        shape.headCount /= count
        shape.keyValueHeadCount /= count
        return shape
    }

    /// What queries of some tokens have for values.
    fileprivate func valueQueryRange(_ tokens: Range<Int>) -> Range<Int> {
        tokens.scaled(headCount * valueHeadWidth)
    }
}

extension Executor {
    /// Norm of rows of `x`, after those of `added` were added where that is due, into `input`.
    func normalize(
        _ rows: NormedRows, of x: inout Buffer<Float>, adding added: borrowing Buffer<Float>,
        by norm: Norm, into input: inout ProductInput
    ) {
        let count = rows.rows.count
        var values = x.mutableSpan(in: rows.rows.scaled(norm.width))
        if let first = rows.addedFrom {
            let added = added.span.extracting((first..<first + count).scaled(norm.width))
            kernels.normalize(
                &values, adding: added, rows: count, by: norm, into: &input,
                firstRow: rows.target, team: team)
        } else {
            kernels.normalize(
                &values, adding: nil, rows: count, by: norm, into: &input,
                firstRow: rows.target, team: team)
        }
    }

    /// Norms elements of a buffer, whole rows.
    func normalizeInPlace(
        _ buffer: inout Buffer<Float>, _ elements: Range<Int>, by norm: Norm
    ) {
        var rows = buffer.mutableSpan(in: elements)
        kernels.normalizeInPlace(&rows, rows: elements.count / norm.width, by: norm)
    }

    /// Rows of `x`, `columns` each, into `input` as they are.
    func take(
        _ rows: Range<Int>, of x: borrowing Buffer<Float>, columns: Int,
        into input: inout ProductInput
    ) {
        let values = x.span.extracting(rows.scaled(columns))
        var target = input.floats.mutableSpan(in: 0..<values.count)
        for index in values.indices { target[index] = values[index] }
        prepare(&input, rows: rows.count, columns: columns)
    }

    /// The first `count` elements.
    func copy(_ source: borrowing Buffer<Float>, count: Int, to target: inout Buffer<Float>) {
        let source = source.span
        var target = target.mutableSpan(in: 0..<count)
        for index in 0..<count { target[index] = source[index] }
    }

    func copy(
        row: Int, of source: borrowing Buffer<Float>, columns: Int, to target: inout Buffer<Float>
    ) {
        let source = source.span
        var target = target.mutableSpan(in: 0..<columns)
        for index in 0..<columns { target[index] = source[row * columns + index] }
    }

    /// Parts × tokens × width becomes tokens × parts × width.
    func join(
        parts: Int, tokens: Int, width: Int, of buffer: inout Buffer<Float>,
        through room: inout Buffer<Float>
    ) {
        guard tokens > 1 else { return }
        let count = parts * tokens * width
        copy(buffer, count: count, to: &room)
        let source = room.span
        var target = buffer.mutableSpan(in: 0..<count)
        for part in 0..<parts {
            for token in 0..<tokens {
                let (from, to) = ((part * tokens + token) * width, (token * parts + part) * width)
                for index in 0..<width { target[to + index] = source[from + index] }
            }
        }
    }

    /// Finishes the projections of a sequence's tokens: queries stay, keys and values go to their
    /// pages.
    func finishHeads(
        _ shape: AttentionShape, _ treatment: HeadTreatment, _ rows: ChunkRows,
        _ finished: FinishedHeads, query: inout Buffer<Float>, key: inout Buffer<Float>,
        value: inout Buffer<Float>,
        angles: borrowing AngleRows
    ) {
        let (heads, tokens, pool) = (shape.keyValueHeadCount, rows.tokens, rows.pool)
        let pairs = treatment.rotatedWidth / 2
        let turned = rows.firstAngle..<rows.firstAngle + tokens.count * pairs
        var pages = pool.mutableBytes(at: 0, byteCount: pool.byteCount)
        var query = query.mutableSpan(in: tokens.scaled(shape.headCount * shape.keyHeadWidth))
        var key = key.mutableSpan(in: tokens.scaled(heads * shape.keyHeadWidth))
        var value = value.mutableSpan(in: tokens.scaled(heads * shape.valueHeadWidth))
        kernels.finishHeads(
            shape, treatment, query: &query, key: &key, value: &value,
            angles: RotaryAngles(
                cosines: angles.cosines.span.extracting(turned),
                sines: angles.sines.span.extracting(turned)),
            firstPosition: rows.firstPosition, positionOffset: rows.positionOffset,
            tokens: tokens.count, pool: &pages, pageOffsets: rows.pageOffsets.span,
            openPage: rows.openPage, finished: finished, team: team)
    }

    /// Attention of a sequence's tokens over some spans, whose pages are in memory now.
    func attend(
        _ shape: AttentionShape, spans: SpanRange, _ rows: ChunkRows,
        queries: borrowing Buffer<Float>, _ valueQueries: borrowing Buffer<Float>,
        states: inout Buffer<Float>, into y: inout Buffer<Float>
    ) {
        let source = AttentionSource(
            firstPosition: rows.firstPosition, tokens: rows.tokens.count,
            pool: rows.pool.bytes(at: 0, byteCount: rows.pool.byteCount),
            pageOffsets: rows.pageOffsets.span, openPage: rows.openPage)
        var kept = states.mutableSpan(in: rows.tokens.scaled(2 * shape.headCount))
        var attended = y.mutableSpan(
            in: rows.tokens.scaled(shape.headCount * shape.valueHeadWidth))
        let range = rows.tokens.scaled(shape.headCount * shape.keyHeadWidth)
        kernels.attend(
            shape, spans: spans, queries: queries.span.extracting(range),
            valueQueries: shape.scoresValues
                ? valueQueries.span.extracting(shape.valueQueryRange(rows.tokens)) : nil,
            source: source, states: &kept, into: &attended, team: team)
    }

    /// Attention of a sequence's tokens over their pages.
    func attend(
        _ shape: AttentionShape, _ rows: ChunkRows, queries: borrowing Buffer<Float>,
        _ valueQueries: borrowing Buffer<Float>, partials: inout Buffer<Float>,
        into y: inout Buffer<Float>
    ) {
        let source = AttentionSource(
            firstPosition: rows.firstPosition, tokens: rows.tokens.count,
            pool: rows.pool.bytes(at: 0, byteCount: rows.pool.byteCount),
            pageOffsets: rows.pageOffsets.span, openPage: rows.openPage)
        var room = partials.mutableSpan
        var attended = y.mutableSpan(
            in: rows.tokens.scaled(shape.headCount * shape.valueHeadWidth))
        let range = rows.tokens.scaled(shape.headCount * shape.keyHeadWidth)
        kernels.attend(
            shape, queries: queries.span.extracting(range),
            valueQueries: shape.scoresValues
                ? valueQueries.span.extracting(shape.valueQueryRange(rows.tokens)) : nil,
            source: source, partials: &room, into: &attended, team: team)
    }

    /// Packs the page that is being filled, where these tokens are its last.
    func seal(_ shape: AttentionShape, _ rows: ChunkRows) {
        let end = rows.firstPosition + rows.tokens.count
        guard let open = rows.openPage, end % AttentionShape.pageTokens == 0 else { return }
        var pages = rows.pool.mutableBytes(at: 0, byteCount: rows.pool.byteCount)
        kernels.seal(
            shape.page, from: open.offset, to: rows.pageOffsets[open.index], pool: &pages,
            team: team)
    }

    /// What a sequence's tokens look at, into the first `heads × positions` of `sums`: see
    /// `Kernels.sumAttention`.
    func sumAttention(
        _ shape: AttentionShape, _ looking: Looking, _ rows: ChunkRows,
        queries: borrowing Buffer<Float>, into sums: inout Buffer<Float>
    ) {
        let source = AttentionSource(
            firstPosition: rows.firstPosition, tokens: rows.tokens.count,
            pool: rows.pool.bytes(at: 0, byteCount: rows.pool.byteCount),
            pageOffsets: rows.pageOffsets.span, openPage: rows.openPage)
        let positions = rows.firstPosition + rows.tokens.count
        var span = sums.mutableSpan(in: 0..<shape.keyValueHeadCount * positions)
        let range = rows.tokens.scaled(shape.headCount * shape.keyHeadWidth)
        kernels.sumAttention(
            shape, looking, queries: queries.span.extracting(range), source: source, into: &span,
            team: team)
    }

    /// Keeps some rows of a sequence's pages: see `Kernels.gather`.
    func gather(
        _ page: KVPageShape, rows: borrowing Buffer<Int32>, count: Int, in pool: MemoryArena,
        pageOffsets: [Int], _ openPage: OpenPage?
    ) {
        var pages = pool.mutableBytes(at: 0, byteCount: pool.byteCount)
        kernels.gather(
            page, rows: rows.span.extracting(0..<page.headCount * count), count: count,
            pool: &pages, pageOffsets: pageOffsets.span, openPage: openPage, team: team)
    }

    /// A page of keys that seem to have come later: see `Kernels.turnKeys`.
    func turnKeys(
        _ page: KVPageShape, _ turn: KeyTurn, from source: Int, to target: Int,
        in pool: MemoryArena
    ) {
        var pages = pool.mutableBytes(at: 0, byteCount: pool.byteCount)
        kernels.turnKeys(page, turn, from: source, to: target, pool: &pages, team: team)
    }

    /// `act(gate) * up`, or `act(up)` for a network without a gate; with a bound
    /// `min(act(gate), bound) * max(-bound, min(up, bound))`, and the gate changes.
    func activate(
        _ activation: Activation, gate: inout Buffer<Float>, up: borrowing Buffer<Float>,
        isGated: Bool, bound: Float? = nil, rows: Int, columns: Int,
        into input: inout ProductInput
    ) {
        if let bound {
            multiplyBounded(
                activation, gate: &gate, up: up, bound: bound, count: rows * columns, into: &input)
            prepare(&input, rows: rows, columns: columns)
        } else if isGated {
            kernels.activate(
                activation, gate: gate.span, up: up.span, rows: rows, columns: columns,
                into: &input, team: team)
        } else {
            kernels.activate(
                activation, gate: up.span, up: nil, rows: rows, columns: columns, into: &input,
                team: team)
        }
    }

    private func multiplyBounded(
        _ activation: Activation, gate: inout Buffer<Float>, up: borrowing Buffer<Float>,
        bound: Float, count: Int, into input: inout ProductInput
    ) {
        let kernels = kernels
        var gates = gate.mutableSpan(in: 0..<count)
        kernels.activate(activation, &gates, count: count)
        let ups = up.span
        var values = input.floats.mutableSpan(in: 0..<count)
        for index in 0..<count {
            values[index] = min(gates[index], bound) * max(-bound, min(ups[index], bound))
        }
    }

    /// Adds `bias`, where there is one, to the first `tokens` rows.
    func addBias(_ bias: [Float]?, tokens: Int, to buffer: inout Buffer<Float>) {
        guard let bias else { return }
        var rows = buffer.mutableSpan
        kernels.add(bias: bias.span, toRowsOf: &rows, rows: tokens)
    }

    /// `cap * tanh(x / cap)` of the first `count` elements.
    func softCap(_ buffer: inout Buffer<Float>, count: Int, _ cap: Float) {
        let kernels = kernels
        var elements = buffer.mutableSpan(in: 0..<count)
        kernels.softCap(&elements, cap)
    }

    /// Multiplies the first `count` elements by `factor`.
    func scale(_ buffer: inout Buffer<Float>, count: Int, by factor: Float) {
        var elements = buffer.mutableSpan(in: 0..<count)
        kernels.scale(&elements, by: factor)
    }

    func gather(
        _ source: borrowing ProductInput, rows: [Int32], columns: Int, withFloats: Bool,
        into input: inout ProductInput
    ) {
        kernels.gather(
            source, rows: rows.span, columns: columns, withFloats: withFloats, into: &input, at: 0,
            team: team)
    }

    /// Multiplies heads by a gate, or their elements each by one; the gate changes too.
    func gate(
        _ y: inout Buffer<Float>, by gates: inout Buffer<Float>,
        _ kind: AttentionMixer.OutputGate, heads: Int, width: Int
    ) {
        guard kind != .none else { return }
        let isOfHeads = kind == .softplusOfHeads || kind == .sigmoidOfHeads
        let (rows, columns) = isOfHeads ? (heads, width) : (heads * width, 1)
        var factors = gates.mutableSpan(in: 0..<rows)
        if kind == .sigmoid || kind == .sigmoidOfHeads {
            kernels.sigmoid(&factors, count: rows)
        } else {
            kernels.softplus(&factors, count: rows)
        }
        var values = y.mutableSpan(in: 0..<rows * columns)
        kernels.multiply(rowsOf: &values, width: columns, by: gates.span, rows: rows)
    }

    func gate(
        _ y: inout Buffer<Float>, by x: borrowing Buffer<Float>, weights: [Float], tokens: Int
    ) {
        var rows = y.mutableSpan
        kernels.gate(
            &rows, by: x.span, weights: weights.span, tokens: tokens, columns: weights.count)
    }

    /// `y[range] += x`, rows of `columns` elements; the first of `x` goes to the first of `range`.
    func add(
        _ x: borrowing Buffer<Float>, to y: inout Buffer<Float>, rows range: Range<Int>,
        columns: Int
    ) {
        var rows = y.mutableSpan(in: range.scaled(columns))
        kernels.add(x.span, scale: 1, to: &rows, count: rows.count)
    }

    /// `y[rows] += shared + Σ weight · row`, each token's experts in the order of its ranking.
    func addExperts(
        _ rows: borrowing Buffer<Float>, _ routing: Routing, shared: borrowing Buffer<Float>,
        hasShared: Bool, rows range: Range<Int>, columns: Int, to y: inout Buffer<Float>
    ) {
        let sums = ExpertSums(
            rows: rows.span, indices: routing.rows.span, weights: routing.weights.span,
            used: routing.expertsPerToken)
        var result = y.mutableSpan(in: range.scaled(columns))
        if hasShared {
            kernels.add(
                sums, shared: shared.span, tokens: range.count, columns: columns, to: &result,
                team: team)
        } else {
            kernels.add(
                sums, shared: nil, tokens: range.count, columns: columns, to: &result,
                team: team)
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
