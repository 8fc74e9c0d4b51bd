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

    /// Elements of the float buffers, in the order of `Activations`.
    var floatCounts: [Int] {
        [
            passTokensMax * width, tokensMax * queryWidth, tokensMax * keyWidth,
            tokensMax * valueWidth, partialCount, tokensMax * width, tokensMax * denseWidth,
            tokensMax * denseWidth,
            tokensMax * expertCount, expertRowsMax * expertWidth, expertRowsMax * expertWidth,
            tokensMax * expertsUsed * width, passTokensMax * ropeCount * rotaryPairs,
            passTokensMax * ropeCount * rotaryPairs,
            logitsRowsMax * vocabularySize
        ]
    }

    /// Rows and columns of the product inputs, in the order of `Activations`.
    var inputShapes: [(tokens: Int, columns: Int)] {
        [
            (tokensMax, width), (tokensMax, attendedWidth), (tokensMax, denseWidth),
            (expertRowsMax, width), (expertRowsMax, expertWidth), (logitsRowsMax, width)
        ]
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
    package var byteCount: Int {
        floatCounts.reduce(0) { $0 + Buffer<Float>.footprint(count: $1) }
            + inputShapes.reduce(0) {
                $0 + ProductInput.footprint(tokensMax: $1.tokens, columnsMax: $1.columns)
            } + NeuronBatch.footprint(neuronsMax: neuronCount, tokensMax: tokensMax)
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
        let arena = try MemoryArena(byteCount: shape.byteCount, of: memory)
        let counts = shape.floatCounts
        let inputs = shape.inputShapes
        hidden = Buffer(count: counts[0], in: arena)
        query = Buffer(count: counts[1], in: arena)
        key = Buffer(count: counts[2], in: arena)
        value = Buffer(count: counts[3], in: arena)
        partials = Buffer(count: counts[4], in: arena)
        projected = Buffer(count: counts[5], in: arena)
        gate = Buffer(count: counts[6], in: arena)
        up = Buffer(count: counts[7], in: arena)
        routerLogits = Buffer(count: counts[8], in: arena)
        expertGate = Buffer(count: counts[9], in: arena)
        expertUp = Buffer(count: counts[10], in: arena)
        expertOutputs = Buffer(count: counts[11], in: arena)
        cosines = Buffer(count: counts[12], in: arena)
        sines = Buffer(count: counts[13], in: arena)
        logits = Buffer(count: counts[14], in: arena)
        func input(_ index: Int) -> ProductInput {
            ProductInput(
                tokensMax: inputs[index].tokens, columnsMax: inputs[index].columns, in: arena)
        }
        normed = input(0)
        attended = input(1)
        gated = input(2)
        expertNormed = input(3)
        expertGated = input(4)
        outputNormed = input(5)
        neurons = NeuronBatch(
            neuronsMax: shape.neuronCount, tokensMax: shape.tokensMax, in: arena)
    }
}
