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
    let store: WeightStore
    package let executor: Executor
    /// One for each rotary embedding that layers have.
    let rotaries: [RotaryTable]
    /// Of each layer.
    private(set) var attentionShapes: [AttentionShape]
    let activation: Activation
    /// Who watches.
    package let observer = PassObserver()
    /// Of each layer whose neurons are bundles, the magnitude of an activation below which its
    /// neuron counts as silent. Empty: every neuron counts as it is.
    package var firingThresholds: [Float] = []
    var activations: Activations
    let products: Products
    var expertBatch = ExpertBatch()
    /// Who fires, guessed; nil where it is computed.
    var predictor: NeuronPredictor?
    /// Of the present layer, where neurons are fetched one by one: who is needed, and of each
    /// neuron how likely it fires.
    var neededNeurons: [Int32] = []
    var firing: [Float]
    /// The present layer's and wave's, where it has experts.
    var routing: Routing
    /// The present layer's experts of all waves, when someone is to be told.
    var routed: [Int32] = []
    /// Whom the next layer's router names on the present hidden state.
    var predicted: Routing

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
        products = Products(store: store, executor: executor)
        let model = graph.shape
        rotaries = model.ropes.map {
            RotaryTable($0, factors: $0.hasFrequencyFactors ? graph.ropeFrequencyFactors : nil)
        }
        activation = model.activation
        attentionShapes = []
        activations = try Activations(shape, memory: memory)
        firing = Array(repeating: 0, count: shape.neuronCount)
        predicted = Routing(
            expertCount: shape.expertCount, expertsPerToken: shape.expertsUsed, tokensMax: 1)
        routing = Routing(
            expertCount: shape.expertCount, expertsPerToken: shape.expertsUsed,
            tokensMax: shape.tokensMax)
        useFormatOfCache()
    }

    /// Keys and values are kept otherwise since the last step.
    package func useFormatOfCache() {
        let element = KVElement(cache.layout.format)
        attentionShapes = graph.layers.map {
            AttentionShape($0.attention.shape, scale: $0.attention.scale, element: element)
        }
    }

    /// Computes one step. Logits are then at rows `0..<plan.logitsRowCount`, in the plan's order.
    ///
    /// - Precondition: the step fits ``shape``; positions fit the sequences; tokens are in the
    ///   vocabulary.
    /// - Throws: `ReadFailure` when weights cannot be had, or when the observer cancelled it; then
    ///   nothing of the step counts.
    package func forward(_ plan: StepPlan) throws(ReadFailure) {
        precondition(plan.tokenCount <= shape.passTokensMax, "the step has too many tokens")
        precondition(plan.logitsRowCount <= shape.logitsRowsMax, "the step wants too many logits")
        let waves = plan.waves(tokensMax: shape.tokensMax)
        let needsLogits = plan.logitsRowCount > 0
        activations.isProjectedDue = false
        products.removeAll()
        expertBatch.removeAll()
        routed.removeAll(keepingCapacity: true)
        fillRotaryAngles(plan, &activations)
        if waves.count > 1 && store.canStayInLayers {
            try computeLayerByLayer(waves, &activations)
            try store.endStationaryPass(withOutput: needsLogits)
        } else {
            for (index, wave) in waves.enumerated() {
                try store.beginPass(
                    withOutput: needsLogits && index == waves.count - 1,
                    isDecoding: plan.tokenCount == 1)
                try computeAllLayers(wave, isAlone: waves.count == 1, &activations)
            }
        }
        if needsLogits { try computeLogits(plan, &activations) }
    }

    /// All layers for one wave.
    private func computeAllLayers(
        _ wave: Wave, isAlone: Bool, _ activations: inout Activations
    ) throws(ReadFailure) {
        try embed(wave, &activations)
        for layer in graph.layers {
            try stopIfCancelled(wave)
            try attend(layer, wave, &activations)
            try feedForward(layer, wave, &activations)
            reportRouting(layer)
        }
        if !isAlone { addProjected(wave, &activations) }
    }

    /// Each layer for all waves before the next layer, so that weights are read once for all.
    private func computeLayerByLayer(
        _ waves: [Wave], _ activations: inout Activations
    ) throws(ReadFailure) {
        try store.beginStationaryPass()
        for wave in waves { try embed(wave, &activations) }
        for layer in graph.layers {
            for (index, wave) in waves.enumerated() {
                try stopIfCancelled(wave)
                store.visitLayer(isFirst: index == 0, isLast: index == waves.count - 1)
                try attend(layer, wave, &activations)
                try feedForward(layer, wave, &activations)
                addProjected(wave, &activations)
            }
            reportRouting(layer)
        }
    }

    /// A single token is soon computed; a prompt is not.
    private func stopIfCancelled(_ wave: Wave) throws(ReadFailure) {
        guard wave.tokenCount > 1, let isCancelled = observer.isCancelled, isCancelled()
        else { return }
        throw ReadFailure(file: store.path, fileOffset: 0, cause: .cancelled)
    }

    private func reportRouting(_ layer: LayerGraph) {
        guard let onRouting = observer.onRouting, !routed.isEmpty else { return }
        onRouting(layer.index, routed)
        routed.removeAll(keepingCapacity: true)
    }

    /// Adds what is due to the residual stream now, because another wave comes in between.
    private func addProjected(_ wave: Wave, _ activations: inout Activations) {
        guard activations.isProjectedDue else { return }
        executor.add(
            activations.projected, to: &activations.hidden, rows: wave.rows,
            columns: shape.width)
        activations.isProjectedDue = false
    }

    /// Calls `body` with row `row` of the last step's logits: one per token of the vocabulary.
    package func withLogits<Result>(row: Int, _ body: (Span<Float>) -> Result) -> Result {
        func call(_ logits: borrowing Buffer<Float>) -> Result {
            let count = shape.vocabularySize
            return body(logits.span.extracting(row * count..<(row + 1) * count))
        }
        return call(activations.logits)
    }

    /// A wave's token ids become rows of the residual stream.
    private func embed(_ wave: Wave, _ activations: inout Activations) throws(ReadFailure) {
        let tokens = wave.chunks.flatMap(\.tokens)
        let rows = store.manifest.embeddings
        let first = wave.rows.lowerBound
        let lease = try store.embeddings.demand(tokens.span)
        for index in tokens.indices {
            let place = first + index
            var row = activations.hidden.mutableSpan(
                in: place * rows.columns..<(place + 1) * rows.columns)
            executor.kernels.dequantize(
                row: lease.row(index), format: rows.format, columns: rows.columns, into: &row)
            if let scale = graph.shape.embeddingScale { executor.kernels.scale(&row, by: scale) }
        }
    }

    private func fillRotaryAngles(_ plan: StepPlan, _ activations: inout Activations) {
        var place = 0
        for chunk in plan.chunks {
            for offset in chunk.tokens.indices {
                for (index, rotary) in rotaries.enumerated() {
                    let row = index * shape.passTokensMax + place
                    rotary.fill(
                        position: chunk.firstPosition + offset, cosines: &activations.cosines,
                        sines: &activations.sines, at: row * rotary.pairCount)
                }
                place += 1
            }
        }
    }

    private func computeLogits(_ plan: StepPlan, _ activations: inout Activations)
        throws(ReadFailure)
    {
        var firstToken = 0
        var row = 0
        for chunk in plan.chunks {
            let count = chunk.logitsRowCount
            let first = firstToken + chunk.tokens.count - count
            if count > 0 {
                let rows = NormedRows(
                    rows: first..<first + count,
                    addedFrom: activations.isProjectedDue ? first : nil, target: row)
                executor.normalize(
                    rows, of: &activations.hidden, adding: activations.projected,
                    by: graph.outputNorm, into: &activations.outputNormed)
            }
            firstToken += chunk.tokens.count
            row += count
        }
        try products.multiply(
            graph.output, by: activations.outputNormed, tokens: row, into: &activations.logits)
        if let scale = graph.shape.logitScale {
            var logits = activations.logits.mutableSpan(in: 0..<row * shape.vocabularySize)
            executor.kernels.scale(&logits, by: scale)
        }
    }

    /// What a half of a layer adds, in `projected`, on its way to the residual stream: normed and
    /// scaled where the layer says so.
    func finishProjected(
        _ norm: Norm?, _ scale: Float?, tokens: Int, _ activations: inout Activations
    ) {
        if norm == nil && scale == nil { return }
        var rows = activations.projected.mutableSpan(in: 0..<tokens * shape.width)
        if let norm { executor.kernels.normalizeInPlace(&rows, rows: tokens, by: norm) }
        if let scale { executor.kernels.scale(&rows, by: scale) }
    }

    /// Norms a wave's residual stream into `normed`, ready for products; adds first what is due.
    /// Without a norm takes it as it is.
    func normalizeHidden(_ norm: Norm?, _ wave: Wave, _ activations: inout Activations) {
        guard let norm else {
            addProjected(wave, &activations)
            executor.take(
                wave.rows, of: activations.hidden, columns: shape.width,
                into: &activations.normed)
            return
        }
        let rows = NormedRows(
            rows: wave.rows, addedFrom: activations.isProjectedDue ? 0 : nil, target: 0)
        executor.normalize(
            rows, of: &activations.hidden, adding: activations.projected, by: norm,
            into: &activations.normed)
        activations.isProjectedDue = false
    }
}
