// An import in pieces that threads take one by one: each reads, arranges and writes an extent of
// its own, so that reading, computing and writing of different extents overlap.

internal import ModelFormat

/// One extent, or one piece of a table of rows.
enum PackingTask: Sendable {
    case rows(RowTable, piece: Int)
    case matrix(Int, extent: Int)
    /// `entry` is the layer's place among those with experts.
    case expert(entry: Int, index: Int)
    case neurons(layer: Int, piece: Int)
}

/// All tasks in the packed file's order, made as they are taken.
struct PackingTasks: Sendable {
    /// Parts of each entry of the lists: tables of rows, matrices, expert layers, neuron layers.
    private let counts: [[Int]]
    /// Which of the lists, which entry of it, and which part of that comes next.
    private var list = 0
    private var entry = 0
    private var part = 0

    init(_ plan: PackingPlan) {
        counts = [
            RowTable.allCases.map {
                guard plan.manifest[$0] != nil else { return 0 }
                let piece = plan.pieceBytes(of: $0)
                return (plan.ownBytes(of: $0) + piece - 1) / piece
            },
            plan.manifest.matrices.map(\.extentCount), plan.manifest.experts.map(\.count),
            (plan.manifest.neurons ?? []).map { PackingPlan.pieceCount($0) }
        ]
    }

    mutating func next() -> PackingTask? {
        while list < counts.count {
            let counts = counts[list]
            if entry < counts.count, part < counts[entry] {
                defer { part += 1 }
                switch list {
                case 0: return .rows(RowTable.allCases[entry], piece: part)
                case 1: return .matrix(entry, extent: part)
                case 2: return .expert(entry: entry, index: part)
                default: return .neurons(layer: entry, piece: part)
                }
            }
            part = 0
            entry += 1
            if entry >= counts.count {
                entry = 0
                list += 1
            }
        }
        return nil
    }
}
