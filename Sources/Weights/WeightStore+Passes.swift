// Passes over the weights: what the ring streams is decided when one begins.

package import FlashStorage
internal import ModelFormat

extension WeightStore {
    /// Starts a forward pass. Matrices must then be used in the manifest's order, each once.
    ///
    /// - Parameters:
    ///   - withOutput: whether the pass ends with the output matrix.
    ///   - isDecoding: whether neurons are fetched one by one where the plan has that; whole
    ///     matrices and layers of neurons then come only where decoding needs them.
    ///   - lastLayer: with which the pass ends, without an output matrix then; nil is the last one.
    /// - Throws: `ReadFailure` when a pass before was cut off and its reads cannot be collected.
    package func beginPass(
        withOutput: Bool, isDecoding: Bool, lastLayer: Int? = nil
    ) throws(ReadFailure) {
        if reads.isUnsettled { try reads.drain() }
        guard plan.streamsDense else { return dense.enter(.cycle) }
        if dense.mode.isStationary { try endLending() }
        let wanted: PassMode = fetchesNeurons && !isDecoding ? .sweep : .cycle
        if wanted != dense.mode {
            try reads.drain()
            if wanted == .sweep { neurons.lendRows() } else { neurons.takeBackRows() }
            dense.enter(wanted)
        } else if dense.isCutOff || dense.isAhead(of: lastLayer) {
            try reads.drain()
        }
        try dense.beginPass(withOutput: withOutput, lastLayer: lastLayer)
    }

    /// Whether there is memory to stay in a layer: a whole layer's streamed weights at once.
    package var canStayInLayers: Bool { !plan.streamsDense || plan.lending != nil }

    /// Starts a pass in which each layer's matrices are used by several waves of tokens before the
    /// next layer's: in the manifest's order, once for each wave.
    ///
    /// - Parameter lastLayer: with which the pass ends; nil is the last one.
    /// - Precondition: ``canStayInLayers``.
    /// - Throws: `ReadFailure` when a pass before was cut off and its reads cannot be collected.
    package func beginStationaryPass(lastLayer: Int? = nil) throws(ReadFailure) {
        if reads.isUnsettled { try reads.drain() }
        guard plan.streamsDense else { return dense.enter(.stationary(LayerVisit())) }
        if !dense.mode.isStationary || dense.isCutOff {
            try reads.drain()
            neurons.lendRows()
            dense.enter(.stationary(LayerVisit()))
        }
        try dense.beginPass(withOutput: true, lastLayer: lastLayer)
    }

    /// A wave comes to a layer.
    ///
    /// - Parameters:
    ///   - isFirst: no wave was there before.
    ///   - isLast: no other wave comes after.
    package func visitLayer(isFirst: Bool, isLast: Bool) {
        dense.visitLayer(isFirst: isFirst, isLast: isLast)
    }

    /// Ends a stationary pass whose layers are all computed.
    ///
    /// - Parameter withOutput: whether the output matrix is used next.
    /// - Throws: `ReadFailure` when what lent its place cannot be read back; the next pass tries
    ///   again.
    package func endStationaryPass(withOutput: Bool) throws(ReadFailure) {
        guard plan.streamsDense, withOutput else { return }
        try endLending()
        try dense.beginAtOutput()
    }

    /// Reads back what lent its place.
    private func endLending() throws(ReadFailure) {
        try reads.drain()
        try dense.readBackLent()
        neurons.takeBackRows()
        dense.enter(.cycle)
    }

    /// Whether decoding fetches neurons one by one.
    package var fetchesNeurons: Bool { plan.sparse != nil }

    /// Whether the present pass does.
    package var isFetchingNeurons: Bool { fetchesNeurons && dense.mode == .cycle }
}

extension WeightStore {
    // MARK: demands

    /// A matrix's extents, one after another: row tiles.
    package func demand(matrix: Int) -> DenseDemand {
        DenseDemand(
            dense, from: directory.firstUnits.ofMatrices[matrix],
            count: manifest.matrices[matrix].extentCount)
    }

    /// All of a layer's bundles, some at a time, in the order of the file.
    package func demand(neuronsOfLayer layer: Int) -> DenseDemand {
        DenseDemand(
            dense, from: directory.firstUnits.ofNeurons[layer],
            count: directory.neuronLayer(layer).extentCount)
    }

    /// Experts of a layer, without repeats. What is missing is asked of the drive at once.
    ///
    /// - Throws: `ReadFailure` when the kernel takes no reads.
    package func demand(experts: [Int], layer: Int) throws(ReadFailure) -> ExpertDemand {
        try self.experts.demand(
            experts, layer: layer, returnsAtOnce: dense.mode.staysInLayer)
    }

    /// Single neurons of a layer, without repeats.
    ///
    /// - Precondition: ``fetchesNeurons``.
    package func demand(neurons: Span<Int32>, layer: Int) -> NeuronDemand {
        self.neurons.demand(neurons, layer: layer)
    }
}
