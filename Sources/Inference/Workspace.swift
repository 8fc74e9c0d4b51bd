// The memory that a forward pass computes in: allocated once for the largest step, never grown.
// Blocks declare their buffers by name, size and lifetime, and cut them where the plan has them.

internal import Compute
internal import LinuxSystem
internal import Memory

/// The name of a block's buffer: the block's, then what it holds. Each block's file has its own.
struct BufferName: Hashable, Sendable {
    let rawValue: String
    init(_ rawValue: String) { self.rawValue = rawValue }
}

/// The stages of a pass. Every wave of every layer goes through the first four; the last one ends
/// with the next pass.
extension BufferLifetime {
    /// What the last half added is added, and norms; a router that reads before attention; the
    /// mixer's projections.
    static let mixerInput = Self(rawValue: 1 << 0)
    /// Tokens see each other.
    static let mixing = Self(rawValue: 1 << 1)
    /// The mixer's last projection.
    static let mixerOutput = Self(rawValue: 1 << 2)
    /// What attention added is added, and norms; the feed-forward network.
    static let feedForward = Self(rawValue: 1 << 3)
    /// Logits, until they have been sampled from.
    static let output = Self(rawValue: 1 << 4)
}

/// What a buffer holds.
enum BufferExtent {
    case floats(Int)
    case indices(Int)
    /// Floats, and the same in blocks of 8 bits.
    case input(rows: Int, columns: Int)
    case neurons(Int, tokens: Int)

    var byteCount: Int {
        switch self {
        case .floats(let count): Buffer<Float>.footprint(count: count)
        case .indices(let count): Buffer<Int32>.footprint(count: count)
        case .input(let rows, let columns):
            ProductInput.footprint(tokensMax: rows, columnsMax: columns)
        case .neurons(let count, let tokens):
            NeuronBatch.footprint(neuronsMax: count, tokensMax: tokens)
        }
    }
}

/// The buffers of a model's blocks, as they say them.
struct DeclaredBuffers {
    private var pieces: [BufferPiece<BufferName>] = []
    private var extents: [BufferName: BufferExtent] = [:]

    /// Where they lie.
    var plan: BufferPlan<BufferName> { BufferPlan(pieces) }

    mutating func add(_ name: BufferName, _ extent: BufferExtent, _ lifetime: BufferLifetime) {
        pieces.append(BufferPiece(name, byteCount: extent.byteCount, lifetime: lifetime))
        extents[name] = extent
    }

    /// What was declared by this name.
    func extent(of name: BufferName) -> BufferExtent {
        guard let extent = extents[name] else { preconditionFailure("\(name) is not declared") }
        return extent
    }
}

/// The memory of all blocks, from which each cuts its buffers once.
final class Workspace {
    private let declared: DeclaredBuffers
    private let plan: BufferPlan<BufferName>
    private let arena: MemoryArena
    /// Whether what no longer lives is made unusable, to find who still uses it.
    var poisonsDead = false

    /// - Throws: `SystemError` when there is no memory.
    init(
        _ declared: DeclaredBuffers, memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.declared = declared
        plan = declared.plan
        arena = try MemoryArena(byteCount: plan.byteCount, of: memory)
    }

    func floats(_ name: BufferName) -> Buffer<Float> {
        guard case .floats(let count) = begin(name) else {
            preconditionFailure("\(name) is no buffer of floats")
        }
        return Buffer(count: count, in: arena)
    }

    func indices(_ name: BufferName) -> Buffer<Int32> {
        guard case .indices(let count) = begin(name) else {
            preconditionFailure("\(name) is no buffer of indices")
        }
        return Buffer(count: count, in: arena)
    }

    func input(_ name: BufferName) -> ProductInput {
        guard case .input(let rows, let columns) = begin(name) else {
            preconditionFailure("\(name) is no input")
        }
        return ProductInput(tokensMax: rows, columnsMax: columns, in: arena)
    }

    func neurons(_ name: BufferName) -> NeuronBatch {
        guard case .neurons(let count, let tokens) = begin(name) else {
            preconditionFailure("\(name) is no neurons")
        }
        return NeuronBatch(neuronsMax: count, tokensMax: tokens, in: arena)
    }

    /// What is cut next is `name`.
    private func begin(_ name: BufferName) -> BufferExtent {
        arena.moveCut(to: plan.range(of: name).lowerBound)
        return declared.extent(of: name)
    }

    /// Says that `stage` begins.
    func enter(_ stage: BufferLifetime) {
        guard poisonsDead else { return }
        for range in plan.ranges(deadIn: stage) {
            // As a float, no number.
            arena.fill(range, with: .max)
        }
    }
}
