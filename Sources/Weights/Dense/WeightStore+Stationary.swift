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
        if isUnsettled { try drain() }
        guard plan.streamsDense else { return }
        guard let lending = plan.lending else { preconditionFailure("no place to stay") }
        if !isLending || dense.isMidPass || dense.hasFailed {
            try drain()
            lendRows()
            isLending = true
            // Nothing is read ahead of the next pass: it may be of another kind.
            dense = DenseStream(
                order: lending.order, footprints: lending.order.map { plan[$0].footprint },
                layerCount: 0, capacityBytes: lending.byteCount, readsAheadOfPass: false)
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
        if isFirst { layerStart = dense.consumed } else { dense.goBack(to: layerStart) }
        isRevisit = !isFirst
        dense.keepsConsumed = !isLast
        staysInLayer = !isLast
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
        try drain()
        try readPinned(plan.lending?.lent ?? [])
        isLending = false
        takeBackRows()
        dense = Self.stream(plan, manifest, isDecoding: true)
        streamsPrompt = false
    }
}
