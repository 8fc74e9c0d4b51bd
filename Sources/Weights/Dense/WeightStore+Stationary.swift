// Passes that stay in each layer until all waves of a prompt are computed: one pass over flash for
// any number of waves.

package import FlashStorage

extension WeightStore {
    /// Whether there is memory to stay in a layer: a whole layer's streamed weights at once.
    package var canStayInLayers: Bool { !plan.streamsDense || plan.lending != nil }

    /// Starts a pass in which each layer's matrices are used by several waves of tokens before the
    /// next layer's: in the manifest's order, once for each wave.
    ///
    /// - Precondition: ``canStayInLayers``.
    /// - Throws: `ReadFailure` when a pass before was cut off and its reads cannot be collected.
    package func beginStationaryPass() throws(ReadFailure) {
        if reads.isUnsettled { try reads.drain() }
        guard plan.streamsDense else { return }
        if !mode.isStationary || dense.isMidPass || dense.hasFailed {
            try reads.drain()
            lendRows()
            mode = .stationary(LayerVisit())
            dense = Self.stream(plan, manifest, mode)
        }
        dense.beginPass(withOutput: true)
        try readAhead()
    }

    /// A wave comes to a layer.
    ///
    /// - Parameters:
    ///   - isFirst: no wave was there before.
    ///   - isLast: no other wave comes after.
    package func visitLayer(isFirst: Bool, isLast: Bool) {
        var visit = LayerVisit(start: dense.consumed, isFirst: isFirst, isLast: isLast)
        if !isFirst, case .stationary(let before) = mode {
            visit.start = before.start
            dense.goBack(to: visit.start)
        }
        dense.keepsConsumed = !isLast
        mode = .stationary(visit)
    }

    /// Ends a stationary pass whose layers are all computed.
    ///
    /// - Parameter withOutput: whether the output matrix is used next.
    /// - Throws: `ReadFailure` when what lent its place cannot be read back; the next pass tries
    ///   again.
    package func endStationaryPass(withOutput: Bool) throws(ReadFailure) {
        guard plan.streamsDense, withOutput else { return }
        try endLending()
        dense.beginAtOutput()
        try readAhead()
    }

    /// Reads back what lent its place.
    func endLending() throws(ReadFailure) {
        try reads.drain()
        try readPinned(plan.lending?.lent ?? [])
        takeBackRows()
        mode = .cycle
        dense = Self.stream(plan, manifest, mode)
    }
}
