// The one forward pass. It walks a model's graph and asks the store for weights, the kernels for
// sums, the KV cache for pages; what families do differently it reads from their description.

internal import Compute
package import FlashStorage
package import LinuxSystem
package import Memory
internal import ModelFormat
package import SequenceState
package import Weights

/// A model that can compute steps. Lives on its executor's thread.
package final class Transformer {
    package let graph: ModelGraph
    package let cache: KVCache
    package let shape: ActivationShape
    package let executor: Executor
    /// Who watches.
    package let observer: PassObserver
    private let store: WeightStore
    private let products: Products
    private let workspace: Workspace
    let angles: PassAngles
    private let blocks: ModelBlocks
    private let layers: [LayerBlocks]
    private let output: OutputHead
    private var residual: ResidualStream
    /// Tokens of the last step.
    private var tokenCount = 0

    /// - Parameter memory: what `shape` says.
    /// - Throws: `SystemError` when there is no memory.
    package init(
        store: WeightStore, graph: ModelGraph, cache: KVCache, shape: ActivationShape,
        executor: Executor, memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.store = store
        self.graph = graph
        self.cache = cache
        self.shape = shape
        self.executor = executor
        observer = PassObserver()
        products = Products(store: store, executor: executor)
        let workspace = try Workspace(shape.buffers, memory: memory)
        self.workspace = workspace
        angles = PassAngles(graph, shape, workspace)
        let context = BlockContext(
            graph: graph, sizes: shape, store: store, executor: executor, products: products,
            workspace: workspace, angles: angles, observer: observer)
        let blocks = ModelBlocks(context, cache: cache)
        self.blocks = blocks
        let following = graph.layers.dropFirst().map { Optional($0) } + [nil]
        layers = zip(graph.layers, following).map { blocks.blocks($0, $1, workspace) }
        output = OutputHead(context)
        residual = ResidualStream(context)
    }

    /// Computes one step. Logits are then at rows `0..<plan.logitsRowCount`, in the plan's order.
    ///
    /// A step whose chunks have a filter ends with its layer, without logits; then
    /// ``chosenPlaces`` are what was chosen.
    ///
    /// - Precondition: the step fits ``shape``; positions fit the sequences; tokens are in the
    ///   vocabulary; either all chunks have one filter's layer, or none has any.
    /// - Throws: `ReadFailure` when weights cannot be had, or when the observer cancelled it; then
    ///   nothing of the step counts.
    package func forward(_ plan: StepPlan) throws(ReadFailure) {
        precondition(plan.tokenCount <= shape.passTokensMax, "the step has too many tokens")
        precondition(plan.logitsRowCount <= shape.logitsRowsMax, "the step wants too many logits")
        let plan = beginningStates(plan)
        let waves = plan.waves(tokensMax: shape.tokensMax)
        let (needsLogits, lastLayer) = (plan.logitsRowCount > 0, plan.lastLayer)
        precondition(
            plan.chunks.allSatisfy { $0.filter?.layer == lastLayer }
                && !(needsLogits && lastLayer != nil), "layers that differ")
        residual.begin()
        tokenCount = plan.tokenCount
        products.removeAll()
        blocks.mixture?.begin()
        angles.fill(plan, cache)
        if waves.count > 1 && store.canStayInLayers {
            try computeLayerByLayer(waves, lastLayer: lastLayer)
            try store.endStationaryPass(withOutput: needsLogits)
        } else {
            for (index, wave) in waves.enumerated() {
                try store.beginPass(
                    withOutput: needsLogits && index == waves.count - 1,
                    isDecoding: plan.tokenCount == 1, lastLayer: lastLayer)
                try computeAllLayers(wave, isAlone: waves.count == 1, lastLayer: lastLayer)
            }
        }
        if needsLogits { try output.run(plan, &residual) }
        for chunk in plan.chunks where cache.layout.hasStates {
            cache.endStates(
                chunk.sequence, position: chunk.firstPosition + chunk.tokens.count)
        }
    }

    /// The step with what there is room to keep of states.
    private func beginningStates(_ plan: StepPlan) -> StepPlan {
        guard cache.layout.hasStates else { return plan }
        var plan = plan
        for (index, chunk) in plan.chunks.enumerated() {
            plan.chunks[index].keepsState = cache.beginStates(
                chunk.sequence, position: chunk.firstPosition,
                keptAfter: chunk.keepsState ? chunk.tokens.count - 1 : nil)
        }
        return plan
    }

    /// Places in their sequence of the tokens that the last filter chose, ascending.
    package var chosenPlaces: [Int] { blocks.attention.chosenPlaces }

    private func layers(through last: Int?) -> ArraySlice<LayerBlocks> {
        last.map { layers[...$0] } ?? layers[...]
    }

    /// All layers for one wave.
    private func computeAllLayers(
        _ wave: Wave, isAlone: Bool, lastLayer: Int?
    ) throws(ReadFailure) {
        try embed(wave)
        for layer in layers(through: lastLayer) {
            try stopIfCancelled(wave)
            try layer.run(wave, &residual)
            layer.end()
        }
        if !isAlone { residual.addProjected(wave) }
    }

    /// Each layer for all waves before the next layer, so that weights are read once for all.
    private func computeLayerByLayer(
        _ waves: [Wave], lastLayer: Int?
    ) throws(ReadFailure) {
        try store.beginStationaryPass(lastLayer: lastLayer)
        for wave in waves { try embed(wave) }
        for layer in layers(through: lastLayer) {
            for (index, wave) in waves.enumerated() {
                try stopIfCancelled(wave)
                store.visitLayer(isFirst: index == 0, isLast: index == waves.count - 1)
                try layer.run(wave, &residual)
                residual.addProjected(wave)
            }
            layer.end()
        }
    }

    /// A single token is soon computed; a prompt is not.
    private func stopIfCancelled(_ wave: Wave) throws(ReadFailure) {
        guard wave.tokenCount > 1, let isCancelled = observer.isCancelled, isCancelled()
        else { return }
        throw ReadFailure(file: store.path, fileOffset: 0, cause: .cancelled)
    }

    /// A wave's token ids become rows of the residual stream.
    private func embed(_ wave: Wave) throws(ReadFailure) {
        let (format, scale) = (store.manifest.embeddings.format, graph.shape.embeddingScale)
        try store.forEachRow(
            of: .embeddings, wave.tokens, from: wave.rows.lowerBound
        ) { row, bytes in
            residual.embed(bytes, format: format, scale: scale, row: row)
        }
        if let positions = graph.shape.learnedPositions { try embed(positions, wave) }
    }

    /// Adds the embeddings of a wave's positions.
    private func embed(_ learned: LearnedPositions, _ wave: Wave) throws(ReadFailure) {
        guard let format = store.manifest.positionEmbeddings?.format else {
            preconditionFailure("learned positions without a table")
        }
        let positions = wave.chunks.flatMap { chunk in
            let first = chunk.firstPosition + cache.positionOffset(chunk.sequence) + learned.offset
            return chunk.tokens.indices.map { TokenID(first + $0) }
        }
        try store.forEachRow(
            of: .positionEmbeddings, positions, from: wave.rows.lowerBound
        ) { row, bytes in residual.addEmbedding(bytes, format: format, row: row) }
    }

    /// Calls `body` with each of the last step's tokens `rows` as it is after the last norm, in
    /// order: what logits are made of.
    ///
    /// - Precondition: the step went through all layers, and none was computed since.
    package func forEachHidden(_ rows: Range<Int>, _ body: (Span<Float>) -> Void) {
        workspace.enter(.output)
        residual.settle(tokens: tokenCount)
        for row in rows { residual.withNormed(row: row, by: graph.outputNorm, body) }
    }

    /// Calls `body` with row `row` of the last step's logits: one per token of the vocabulary.
    package func withLogits<Result>(row: Int, _ body: (Span<Float>) -> Result) -> Result {
        output.withLogits(row: row, body)
    }
}

// MARK: Neurons, and measuring

extension Transformer {
    /// Of each layer whose neurons are bundles, the magnitude of an activation below which its
    /// neuron counts as silent. Empty: every neuron counts as it is.
    package var firingThresholds: [Float] {
        get { blocks.neurons?.firingThresholds ?? [] }
        set { blocks.neurons?.firingThresholds = newValue }
    }

    /// Guesses who fires, from now on: neurons that it does not name count as 0.
    ///
    /// - Precondition: the model's neurons are bundles.
    package func predict(
        by predictors: NeuronPredictors, memory: consuming MemoryReservation
    ) throws(SystemError) {
        guard let neurons = blocks.neurons else {
            preconditionFailure("predictors of neurons that are no bundles")
        }
        try neurons.predict(by: predictors, memory: memory)
    }

    /// Whether buffers are made unusable while they hold nothing that is wanted: then who reads
    /// them outside their lifetime computes something else.
    package var poisonsDeadBuffers: Bool {
        get { workspace.poisonsDead }
        set { workspace.poisonsDead = newValue }
    }
}
