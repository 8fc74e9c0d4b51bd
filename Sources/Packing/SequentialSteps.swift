// An import in the source's order: what is done with each tensor as its bytes come by. The other
// order, the packed file's, is PackingTasks.swift.

internal import ModelFormat

/// What is made of some bytes of one tensor.
enum SequentialStep: Sendable {
    /// A task whose bytes are all of this tensor.
    case task(PackingTask)
    case vector(Int)
    /// `part` is 0, 1, 2 for gate, up and down, 3, 4, 5 for their biases.
    case expert(entry: Int, index: Int, part: Int)
    /// Rows of a matrix, each into its neuron's record: the first projection or up.
    case neuronRows(layer: Int, isFirst: Bool, places: Range<Int>)
    /// Rows of a down matrix, an element or a block of each neuron's column.
    case neuronColumns(layer: Int, rows: Range<Int>)
}

/// Which bytes of its tensor a step reads.
struct SequentialRange: Sendable {
    let step: SequentialStep
    let bytes: Range<Int>
}

/// Who wants each tensor.
struct SequentialSteps: Sendable {
    private enum Use: Sendable {
        case rows(RowTable)
        case matrix(Int)
        case vector(Int)
        case experts(entry: Int, indices: Range<Int>, part: Int)
        case neuronRows(layer: Int, isFirst: Bool)
        case neuronColumns(layer: Int)
    }

    private let plan: PackingPlan
    private var uses: [String: [Use]] = [:]

    init(_ plan: PackingPlan) {
        self.plan = plan
        for table in plan.manifest.rowTables where plan.ownBytes(of: table) > 0 {
            add(.rows(table), to: plan[table].tensor)
        }
        for (index, vector) in plan.vectors.enumerated() { add(.vector(index), to: vector.tensor) }
        for (index, rows) in plan.matrices.enumerated() {
            add(.matrix(index), to: rows.stored.tensor)
        }
        for (entry, experts) in plan.experts.enumerated() {
            for part in experts[0].indices { addExperts(entry: entry, part: part, experts) }
        }
        for (layer, sources) in plan.neurons.enumerated() {
            guard let record = plan.manifest.neurons?[layer] else { continue }
            if record.firstBytes > 0 {
                add(.neuronRows(layer: layer, isFirst: true), to: sources.first.tensor)
            }
            if record.gate != nil {
                add(.neuronRows(layer: layer, isFirst: false), to: sources.up.tensor)
            }
            add(.neuronColumns(layer: layer), to: sources.down)
        }
    }

    private mutating func add(_ use: Use, to tensor: GGUFTensor) {
        uses[tensor.name, default: []].append(use)
    }

    /// Experts of one tensor in one entry: all, or one where each has its own.
    private mutating func addExperts(entry: Int, part: Int, _ experts: [[TensorRows]]) {
        var first = 0
        for index in 1...experts.count {
            let tensor = experts[first][part].stored.tensor
            if index < experts.count, experts[index][part].stored.tensor.name == tensor.name {
                continue
            }
            add(.experts(entry: entry, indices: first..<index, part: part), to: tensor)
            first = index
        }
    }

    /// The steps of one tensor, by where their bytes begin.
    func steps(of tensor: GGUFTensor) -> [SequentialRange] {
        let list = (uses[tensor.name] ?? []).flatMap { ranges($0) }
        return list.enumerated().sorted {
            ($0.element.bytes.lowerBound, $0.offset) < ($1.element.bytes.lowerBound, $1.offset)
        }.map(\.element)
    }

    /// How far any step reads before what another has read already.
    func lookBehind(_ tensors: [GGUFTensor]) -> Int {
        var most = 0
        for tensor in tensors {
            var end = 0
            for step in steps(of: tensor) {
                most = max(most, end - step.bytes.lowerBound)
                end = max(end, step.bytes.upperBound)
            }
        }
        return most
    }

    // MARK: Ranges

    private func ranges(_ use: Use) -> [SequentialRange] {
        switch use {
        case .rows(let table):
            let (all, piece) = (plan.ownBytes(of: table), plan.pieceBytes(of: table))
            return stride(from: 0, to: all, by: piece).enumerated().map {
                SequentialRange(
                    step: .task(.rows(table, piece: $0.offset)),
                    bytes: sourceBytes(plan[table], $0.element..<min($0.element + piece, all)))
            }
        case .vector(let index):
            return [SequentialRange(step: .vector(index), bytes: plan.vectors[index].bytes)]
        case .matrix(let index):
            let record = plan.manifest.matrices[index]
            return (0..<record.extentCount).map {
                SequentialRange(
                    step: .task(.matrix(index, extent: $0)),
                    bytes: sourceBytes(plan.matrices[index], record.extent($0).rows))
            }
        case .experts(let entry, let indices, let part):
            let record = plan.manifest.experts[entry]
            let count = record.parts.count
            let rows = record.parts[part % count].rows
            return indices.map {
                let source = plan.experts[entry][$0][part]
                // A bias is one row of the tensor, though a number for each of the matrix's.
                let bytes =
                    part < count
                    ? sourceBytes(source, 0..<rows)
                    : source.byteOffset..<source.byteOffset + rows * MemoryLayout<Float>.stride
                return SequentialRange(
                    step: .expert(entry: entry, index: $0, part: part), bytes: bytes)
            }
        case .neuronRows(let layer, let isFirst): return neuronRows(layer, isFirst: isFirst)
        case .neuronColumns(let layer):
            let down = plan.neurons[layer].down
            let rowBytes = down.byteCount / down.rows
            let step = plan.columnPiece(layer: layer).rows
            return stride(from: 0, to: down.rows, by: step).map {
                let rows = $0..<min($0 + step, down.rows)
                return SequentialRange(
                    step: .neuronColumns(layer: layer, rows: rows),
                    bytes: rows.lowerBound * rowBytes..<rows.upperBound * rowBytes)
            }
        }
    }

    private func neuronRows(_ layer: Int, isFirst: Bool) -> [SequentialRange] {
        guard let record = plan.manifest.neurons?[layer] else { return [] }
        let stored = isFirst ? plan.neurons[layer].first : plan.neurons[layer].up
        let rowBytes = stored.format.rowBytes(columns: record.width)
        let step = max(1, PackedLayout.extentBytesMax / rowBytes)
        return stride(from: 0, to: record.count, by: step).map {
            let places = $0..<min($0 + step, record.count)
            return SequentialRange(
                step: .neuronRows(layer: layer, isFirst: isFirst, places: places),
                bytes: sourceBytes(
                    stored, places.lowerBound * rowBytes..<places.upperBound * rowBytes))
        }
    }

    /// Where the source has what is stored in a range.
    private func sourceBytes(_ stored: StoredTensor, _ range: Range<Int>) -> Range<Int> {
        guard stored.isRequantized else { return range }
        return stored.sourceBytes(of: range.lowerBound)..<stored.sourceBytes(of: range.upperBound)
    }

    /// From the first to the last of some rows, with what lies between them.
    private func sourceBytes(_ source: TensorRows, _ rows: Range<Int>) -> Range<Int> {
        let stored = source.stored
        let rowBytes = stored.format.rowBytes(columns: stored.tensor.columns)
        let pieces = source.pieces(of: rows)
        guard let first = pieces.first, let last = pieces.last else { return 0..<0 }
        let start = source.byteOffset + first.tensorRow * rowBytes
        let end = source.byteOffset + (last.tensorRow + last.rows) * rowBytes
        return sourceBytes(stored, start..<end)
    }
}
