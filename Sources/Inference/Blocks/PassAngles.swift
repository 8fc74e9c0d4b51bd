// The rotary angles of a pass's tokens: computed once, read by each layer that turns heads.

internal import Compute
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let cosines = Self("rotary angles, cosines")
    fileprivate static let sines = Self("rotary angles, sines")
}

/// Rows of angles: rotary embeddings × pass tokens × rotated pairs, where each embedding has room
/// for as many pairs as the widest.
struct AngleRows: ~Copyable {
    fileprivate(set) var cosines: Buffer<Float>
    fileprivate(set) var sines: Buffer<Float>

    fileprivate mutating func fill(_ table: RotaryTable, position: Int, at place: Int) {
        table.fill(position: position, cosines: &cosines, sines: &sines, at: place)
    }
}

/// The angles of a pass. One for all of a model's mixers.
final class PassAngles {
    /// One for each rotary embedding that layers have.
    private let tables: [RotaryTable]
    /// Angles of one embedding.
    private let stride: Int
    private(set) var rows: AngleRows

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let model = sizes.model
        let count = sizes.passTokensMax * model.ropes.count * (model.rotatedWidth / 2)
        buffers.add(.cosines, .floats(count), .always)
        buffers.add(.sines, .floats(count), .always)
    }

    init(_ graph: ModelGraph, _ sizes: ActivationShape, _ workspace: Workspace) {
        tables = graph.shape.ropes.map {
            let hasFactors = $0.hasFrequencyFactors || $0.longContextBeyond != nil
            return RotaryTable($0, factors: hasFactors ? graph.ropeFrequencyFactors : nil)
        }
        stride = sizes.passTokensMax * (graph.shape.rotatedWidth / 2)
        rows = AngleRows(
            cosines: workspace.floats(.cosines), sines: workspace.floats(.sines))
    }

    /// Where the angles of a pass's token by embedding `rope` begin; nil turns nothing.
    func place(rope: Int?, token: Int) -> Int {
        guard let rope else { return 0 }
        return rope * stride + token * tables[rope].pairCount
    }

    /// How an embedding turns; nil turns nothing.
    func table(rope: Int?) -> RotaryTable? { rope.map { tables[$0] } }

    /// Computes those of a step's tokens, whose positions may be beyond their places in `cache`.
    func fill(_ plan: StepPlan, _ cache: KVCache) {
        var token = 0
        for chunk in plan.chunks {
            let first = chunk.firstPosition + cache.positionOffset(chunk.sequence)
            for offset in chunk.tokens.indices {
                for (index, table) in tables.enumerated() {
                    let place = place(rope: index, token: token)
                    rows.fill(table, position: first + offset, at: place)
                }
                token += 1
            }
        }
    }
}
