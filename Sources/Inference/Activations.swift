// The memory that a forward pass computes in: allocated once for the largest step, never grown.
// Every buffer's shape stands beside it; T is the tokens of a wave, P those of a whole step.

internal import Compute
internal import LinuxSystem
internal import Memory
package import ModelFormat

/// The sizes that decide how much memory a step needs.
package struct ActivationShape: Sendable, Equatable {
    /// Tokens that a layer computes together: a wave.
    package let tokensMax: Int
    /// Tokens of a step, all its waves.
    package let passTokensMax: Int
    package let logitsRowsMax: Int
    let width: Int
    let queryWidth: Int
    let keyWidth: Int
    let valueWidth: Int
    let attendedWidth: Int
    let denseWidth: Int
    /// Neurons of a layer where they are bundles, else 0.
    let neuronCount: Int
    let expertCount: Int
    let expertsUsed: Int
    let expertWidth: Int
    /// Of each rotary embedding that layers have.
    let rotaryPairs: Int
    let ropeCount: Int
    /// Floats that split one token's attention over spans of the context.
    let partialCount: Int
    package let vocabularySize: Int

    /// - Parameters:
    ///   - bundlesNeurons: whether feed-forward networks are stored by the neuron.
    ///   - tokensMax: tokens that a layer computes together, all sequences.
    ///   - passTokensMax: tokens of one step; more than `tokensMax` are computed in waves.
    ///   - logitsRowsMax: tokens of one step whose logits are wanted.
    ///   - contextTokens: positions of the longest sequence.
    package init(
        _ shape: ModelShape, bundlesNeurons: Bool, tokensMax: Int, passTokensMax: Int,
        logitsRowsMax: Int, contextTokens: Int
    ) {
        self.tokensMax = tokensMax
        self.passTokensMax = max(tokensMax, passTokensMax)
        self.logitsRowsMax = logitsRowsMax
        width = shape.width
        let attention = shape.attention
        queryWidth = attention.queryWidth
        keyWidth = attention.keyWidth
        valueWidth = attention.valueWidth
        attendedWidth = attention.attendedWidth
        denseWidth = max(shape.feedForwardWidth, shape.sharedExpertWidth)
        neuronCount = bundlesNeurons ? shape.feedForwardWidth : 0
        expertCount = shape.experts?.count ?? 0
        expertsUsed = shape.experts?.usedCount ?? 0
        expertWidth = shape.experts?.width ?? 0
        rotaryPairs = shape.rotatedWidth / 2
        ropeCount = shape.ropes.count
        partialCount = AttentionShape(attention, scale: 1, element: .float)
            .partialCount(positions: contextTokens)
        vocabularySize = shape.vocabularySize
    }

    /// Rows of experts' activations that are computed together: one expert may have all tokens, and
    /// all of one token's experts go together.
    var expertRowsMax: Int { expertCount > 0 ? max(tokensMax, expertsUsed) : 0 }

    /// What each buffer has to hold.
    func extent(of buffer: ActivationBuffer) -> ActivationExtent {
        switch buffer {
        case .hidden: .floats(passTokensMax * width)
        case .query: .floats(tokensMax * queryWidth)
        case .key: .floats(tokensMax * keyWidth)
        case .value: .floats(tokensMax * valueWidth)
        case .partials: .floats(partialCount)
        case .projected: .floats(tokensMax * width)
        case .gate, .up: .floats(tokensMax * denseWidth)
        case .routerLogits: .floats(tokensMax * expertCount)
        case .expertGate, .expertUp: .floats(expertRowsMax * expertWidth)
        case .expertOutputs: .floats(tokensMax * expertsUsed * width)
        case .cosines, .sines: .floats(passTokensMax * ropeCount * rotaryPairs)
        case .logits: .floats(logitsRowsMax * vocabularySize)
        case .normed: .input(rows: tokensMax, columns: width)
        case .attended: .input(rows: tokensMax, columns: attendedWidth)
        case .gated: .input(rows: tokensMax, columns: denseWidth)
        case .expertNormed: .input(rows: expertRowsMax, columns: width)
        case .expertGated: .input(rows: expertRowsMax, columns: expertWidth)
        case .outputNormed: .input(rows: logitsRowsMax, columns: width)
        case .neurons: .neurons(neuronCount, tokens: tokensMax)
        }
    }

    /// The arena for ``Activations``.
    var plan: BufferPlan<ActivationBuffer> {
        BufferPlan(
            ActivationBuffer.allCases.map {
                BufferPiece($0, byteCount: extent(of: $0).byteCount, lifetime: .always)
            })
    }

    /// Bytes that each token beyond `tokensMax` takes.
    package static func waitingTokenBytes(_ shape: ModelShape) -> Int {
        (shape.width + shape.ropes.count * shape.rotatedWidth) * MemoryLayout<Float>.stride
    }

    /// Bytes for the tokens that are computed together alone.
    package var waveBytes: Int {
        byteCount - (passTokensMax - tokensMax) * (width + 2 * ropeCount * rotaryPairs)
            * MemoryLayout<Float>.stride
    }

    /// Bytes of the arena for ``Activations``.
    package var byteCount: Int { plan.byteCount }
}

/// The buffers of ``Activations``, in the order in which they lie.
enum ActivationBuffer: CaseIterable {
    case hidden, query, key, value, partials, projected, gate, up, routerLogits
    case expertGate, expertUp, expertOutputs, cosines, sines, logits
    case normed, attended, gated, expertNormed, expertGated, outputNormed, neurons
}

/// What a buffer holds.
enum ActivationExtent {
    case floats(Int)
    /// Floats, and the same in blocks of 8 bits.
    case input(rows: Int, columns: Int)
    case neurons(Int, tokens: Int)

    var byteCount: Int {
        switch self {
        case .floats(let count): Buffer<Float>.footprint(count: count)
        case .input(let rows, let columns):
            ProductInput.footprint(tokensMax: rows, columnsMax: columns)
        case .neurons(let count, let tokens):
            NeuronBatch.footprint(neuronsMax: count, tokensMax: tokens)
        }
    }
}

/// Cuts buffers from their arena as the plan has them, in its order.
private struct ActivationCutter {
    let shape: ActivationShape
    let plan: BufferPlan<ActivationBuffer>
    let arena: MemoryArena

    func floats(_ buffer: ActivationBuffer) -> Buffer<Float> {
        guard case .floats(let count) = shape.extent(of: buffer) else {
            preconditionFailure("\(buffer) is no buffer of floats")
        }
        begin(buffer)
        return Buffer(count: count, in: arena)
    }

    func input(_ buffer: ActivationBuffer) -> ProductInput {
        guard case .input(let rows, let columns) = shape.extent(of: buffer) else {
            preconditionFailure("\(buffer) is no input")
        }
        begin(buffer)
        return ProductInput(tokensMax: rows, columnsMax: columns, in: arena)
    }

    func neurons() -> NeuronBatch {
        begin(.neurons)
        return NeuronBatch(
            neuronsMax: shape.neuronCount, tokensMax: shape.tokensMax, in: arena)
    }

    private func begin(_ buffer: ActivationBuffer) {
        precondition(
            MemoryArena.footprint(arena.usedBytes) == plan.range(of: buffer).lowerBound,
            "\(buffer) is cut out of turn")
    }
}

/// The buffers of one step.
struct Activations: ~Copyable {
    /// The residual stream: P × width.
    var hidden: Buffer<Float>
    /// T × heads × head width, each.
    var query: Buffer<Float>
    var key: Buffer<Float>
    var value: Buffer<Float>
    /// One token's attention over spans of positions.
    var partials: Buffer<Float>
    /// What a block adds to the residual stream: T × width.
    var projected: Buffer<Float>
    /// Whether `projected` is still to be added to `hidden`; the next norm does it on its way.
    var isProjectedDue = false
    /// T × feed-forward width, each.
    var gate: Buffer<Float>
    var up: Buffer<Float>
    /// T × experts.
    var routerLogits: Buffer<Float>
    /// Rows of the experts that are computed together × their width, each.
    var expertGate: Buffer<Float>
    var expertUp: Buffer<Float>
    /// T × experts used rows × width, expert by expert (`Routing.rows`).
    var expertOutputs: Buffer<Float>
    /// Rotary embeddings × P × rotated pairs, each.
    var cosines: Buffer<Float>
    var sines: Buffer<Float>
    /// Logits rows × vocabulary.
    var logits: Buffer<Float>
    /// The normed residual stream: T × width.
    var normed: ProductInput
    /// T × heads × value head width.
    var attended: ProductInput
    /// T × feed-forward width, after the activation.
    var gated: ProductInput
    /// Rows of `normed` for experts that are computed together, and those experts' activations.
    var expertNormed: ProductInput
    var expertGated: ProductInput
    /// Logits rows × width.
    var outputNormed: ProductInput
    /// Of the present layer, where its neurons are bundles.
    var neurons: NeuronBatch

    init(
        _ shape: ActivationShape, memory: consuming MemoryReservation
    ) throws(SystemError) {
        let plan = shape.plan
        let arena = try MemoryArena(byteCount: plan.byteCount, of: memory)
        let cutter = ActivationCutter(shape: shape, plan: plan, arena: arena)
        hidden = cutter.floats(.hidden)
        query = cutter.floats(.query)
        key = cutter.floats(.key)
        value = cutter.floats(.value)
        partials = cutter.floats(.partials)
        projected = cutter.floats(.projected)
        gate = cutter.floats(.gate)
        up = cutter.floats(.up)
        routerLogits = cutter.floats(.routerLogits)
        expertGate = cutter.floats(.expertGate)
        expertUp = cutter.floats(.expertUp)
        expertOutputs = cutter.floats(.expertOutputs)
        cosines = cutter.floats(.cosines)
        sines = cutter.floats(.sines)
        logits = cutter.floats(.logits)
        normed = cutter.input(.normed)
        attended = cutter.input(.attended)
        gated = cutter.input(.gated)
        expertNormed = cutter.input(.expertNormed)
        expertGated = cutter.input(.expertGated)
        outputNormed = cutter.input(.outputNormed)
        neurons = cutter.neurons()
    }
}
