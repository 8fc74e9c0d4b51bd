// What a token is expected to read and to compute on, for each way of decoding it. Arithmetic on
// plans and on what calibration counted; MachineSpeeds.swift says how long that takes.

package import FlashStorage
package import Knobs
internal import LinuxSystem
package import ModelFormat

/// One way of decoding a token, and what it is expected to move.
package struct NeuronWay: Sendable, Equatable {
    package let mode: SparseMode
    /// From flash in long reads: what every token needs and does not stay.
    package let streamedBytes: Double
    /// From flash bundle by bundle, and in how many reads.
    package let fetchedBytes: Double
    package let fetchedReads: Double
    /// Layers that wait for reads of their own.
    package let fetchingLayers: Double
    /// How what is streamed is read; nil is as the drive likes it best.
    package let streamedReads: StreamedReads?
    /// Bytes of matrices that are computed on.
    package let touchedBytes: Double
    /// The same of neurons by themselves, and of predictors.
    package let neuronBytes: Double

    /// From flash for each token.
    package var bytes: Double { streamedBytes + fetchedBytes }

    package init(
        mode: SparseMode, streamedBytes: Double, fetchedBytes: Double = 0,
        fetchedReads: Double = 0, fetchingLayers: Double = 0, streamedReads: StreamedReads? = nil,
        touchedBytes: Double, neuronBytes: Double = 0
    ) {
        self.mode = mode
        self.streamedBytes = streamedBytes
        self.fetchedBytes = fetchedBytes
        self.fetchedReads = fetchedReads
        self.fetchingLayers = fetchingLayers
        self.streamedReads = streamedReads
        self.touchedBytes = touchedBytes
        self.neuronBytes = neuronBytes
    }

    /// Streaming everything that does not stay.
    package init(streaming plan: WeightPlan) {
        self.init(
            mode: .off,
            streamedBytes: plan.units.filter { $0.pinnedOffset == nil }
                .reduce(0) { $0 + $1.footprint }.asDouble,
            streamedReads: StreamedReads(plan, plan.units), touchedBytes: plan.denseBytes.asDouble)
    }

    /// The same with `bytes` more in long reads, and `touched` more to compute on.
    package func adding(streamed bytes: Double, touched: Double) -> Self {
        Self(
            mode: mode, streamedBytes: streamedBytes + bytes, fetchedBytes: fetchedBytes,
            fetchedReads: fetchedReads, fetchingLayers: fetchingLayers,
            streamedReads: streamedReads, touchedBytes: touchedBytes + touched,
            neuronBytes: neuronBytes)
    }

    /// Where calibration made neighbours of neurons that fire together, reads and bytes are this
    /// share of what independent ones would need (docs/NEURON-READS.md).
    private static let apartShare = 0.75

    /// Fetching neurons as `plan` says; nil where it fetches none.
    ///
    /// - Parameters:
    ///   - rates: how often neurons fire.
    ///   - small: how what is needed is read.
    ///   - predictorBytes: of what each token's prediction computes on.
    package init?(
        fetching plan: WeightPlan, _ manifest: PackedManifest, rates: FiringRates,
        _ small: NeuronReads, predictorBytes: Int = 0
    ) {
        guard let sparse = plan.sparse, let layers = manifest.neurons else { return nil }
        let decoded = plan.unitIndices.filter { plan.isDecoded($0, manifest) }
        var (bytes, reads, layersWaiting, neuronBytes) = (0.0, 0.0, 0.0, 0.0)
        for (index, layer) in layers.enumerated() {
            let fetch = rates.fetch(
                layer, index: index, mode: sparse.mode, windowRows: sparse.windowRows[index])
            let part = sparse.part(layer)
            let expected = small.expected(fetch, layer, part, slotBytes: sparse.slotBytes)
            let apart = layer.isReordered ? Self.apartShare : 1
            reads += expected.reads * apart
            bytes += expected.bytes * apart
            layersWaiting += min(1, expected.reads)
            neuronBytes += fetch.computed * part.count.asDouble
        }
        self.init(
            mode: sparse.mode,
            streamedBytes: decoded.filter { plan[$0].pinnedOffset == nil }
                .reduce(0) { $0 + plan[$1].footprint }.asDouble,
            fetchedBytes: bytes, fetchedReads: reads, fetchingLayers: layersWaiting,
            streamedReads: StreamedReads(plan, decoded.map { plan[$0] }),
            touchedBytes: decoded.reduce(0) { $0 + plan[$1].footprint }.asDouble,
            neuronBytes: neuronBytes + predictorBytes.asDouble)
    }
}

/// How small reads are made.
package struct NeuronReads: Sendable {
    /// Bytes that nobody needs, between two reads, that are read with them.
    package var gapBytesMax: Int
    /// What reads begin and end at multiples of.
    package var blockBytes: Int
    /// Whether bundles are never read in parts: encrypted ones.
    package var readsWholeBundles: Bool

    package init(gapBytesMax: Int, blockBytes: Int, readsWholeBundles: Bool = false) {
        self.gapBytesMax = gapBytesMax
        self.blockBytes = blockBytes
        self.readsWholeBundles = readsWholeBundles
    }

    /// Bundle by bundle where a neuron's part takes a bundle's blocks, else neuron by neuron.
    func expected(
        _ fetch: FiringRates.Fetch, _ layer: PackedNeuronLayer, _ part: Range<Int>, slotBytes: Int
    ) -> (reads: Double, bytes: Double) {
        // A part begins anywhere in a block.
        let alone = (part.count + blockBytes - 1 + blockBytes / 2) / blockBytes * blockBytes
        guard alone < layer.bundleBytes, !readsWholeBundles else {
            let runs = BundleRuns(
                bundles: fetch.bundles, of: layer.bundleCount,
                gapMax: gapBytesMax / layer.bundleBytes, countMax: slotBytes / layer.bundleBytes)
            return (runs.reads, runs.bundlesRead * layer.bundleBytes.asDouble)
        }
        let runs = BundleRuns(
            bundles: fetch.neurons, of: layer.count, gapMax: gapBytesMax / layer.recordBytes,
            countMax: max(1, slotBytes / layer.recordBytes))
        let more = max(0, runs.bundlesRead - runs.reads)
        return (runs.reads, runs.reads * alone.asDouble + more * layer.recordBytes.asDouble)
    }
}

/// Reads of a layer's bundles, each needed as likely as any other: one that lies at most `gapMax`
/// bundles behind another is read with it, and with those between, up to `countMax` in one read.
package struct BundleRuns: Sendable, Equatable {
    package let reads: Double
    package let bundlesRead: Double

    package init(bundles: Double, of count: Int, gapMax: Int, countMax: Int) {
        let share = min(max(bundles / max(count, 1).asDouble, 0), 1)
        // From a needed bundle on, the next one is d bundles away with share · (1 - share)^(d - 1).
        var (between, apart) = (0.0, 1.0)
        for distance in 1...max(min(gapMax, countMax), 0) + 1 {
            between += (distance - 1).asDouble * share * apart
            apart *= 1 - share
        }
        // A read of countMax bundles has that many places at most for needed ones and gaps.
        bundlesRead = bundles + min(bundles * between, max(count.asDouble - bundles, 0))
        reads = max(bundles * apart, bundlesRead / max(countMax, 1).asDouble)
    }
}

/// How often neurons fire.
///
/// Taken for independent of each other and of the token before: a window then does best with the
/// neurons that fire most. Real ones fire again soon after they fired, so that a window finds
/// rather more than this promises.
package enum FiringRates: Sendable {
    /// Where nobody measured it: all alike.
    case alike(Double)
    case calibrated(NeuronPredictors)

    /// A guess on the high side, where activations are sparse.
    package static let densityAssumed = 0.1

    /// A layer's expectations for one token.
    package struct Fetch: Sendable, Equatable {
        /// Neurons that fire, or are predicted or in memory where that is what is computed.
        package var computed: Double
        /// Bundles with any neuron that is wanted and not in memory.
        package var bundles: Double
        /// Neurons that are wanted and not in memory.
        package var neurons: Double
    }

    package func fetch(
        _ layer: PackedNeuronLayer, index: Int, mode: SparseMode, windowRows: Int
    ) -> Fetch {
        let rows = min(windowRows, layer.count)
        if case .alike(let rate) = self { return Self.alike(layer, rate: rate, rows: rows) }
        guard case .calibrated(let predictors) = self, index < predictors.layers.count,
            predictors.layers[index].frequencies.count == layer.count
        else { return Self.alike(layer, rate: Self.densityAssumed, rows: rows) }
        let known = predictors.layers[index]
        let outside = Self.outside(known, rows: rows)
        let sum = known.frequencies.reduce(0.0) { $0 + Double($1) } / 65535
        if mode == .predicted {
            // Who is fetched too many is fetched as often as who is rightly.
            let missing = sum > 0 ? outside.reduce(0, +) / sum : 1
            let fetched = Double(known.quality.fetchedShare) * layer.bundleCount.asDouble * missing
            let computed = rows.asDouble + fetched * layer.neuronsPerBundle.asDouble
            return Fetch(
                computed: min(computed, layer.count.asDouble), bundles: fetched, neurons: fetched)
        }
        var bundles = 0.0
        for bundle in 0..<layer.bundleCount {
            let none = layer.places(ofBundle: bundle).reduce(1.0) { none, place in
                none * (1 - outside[layer.isReordered ? Int(known.order[place]) : place])
            }
            bundles += 1 - none
        }
        return Fetch(computed: sum, bundles: bundles, neurons: outside.reduce(0, +))
    }

    /// Of neurons all alike, those in memory are spread evenly over the bundles.
    private static func alike(_ layer: PackedNeuronLayer, rate: Double, rows: Int) -> Fetch {
        let count = layer.count.asDouble
        let missing = rate * (1 - rows.asDouble / count)
        return Fetch(
            computed: rate * count,
            bundles: touched(missing, size: layer.neuronsPerBundle) * layer.bundleCount.asDouble,
            neurons: missing * count)
    }

    /// The probability that any of `size` neurons is wanted, each with `rate`.
    static func touched(_ rate: Double, size: Int) -> Double {
        1 - Mathematics.power(1 - rate, size.asDouble)
    }

    /// Each neuron's rate, 0 for the `rows` most frequent ones, which are in memory.
    private static func outside(_ known: LayerPredictor, rows: Int) -> [Double] {
        var rates = known.frequencies.map { Double($0) / 65535 }
        let ranked = rates.indices.sorted { (rates[$1], $0) < (rates[$0], $1) }
        for neuron in ranked.prefix(rows) { rates[neuron] = 0 }
        return rates
    }
}

/// The rows of "LLM in a flash" (arXiv 2312.11514, table 3) for a model of some shape: bytes from
/// flash for each token, expected from shares that were measured elsewhere.
package struct NeuronLadder: Sendable, Equatable {
    /// A dense Transformer of equal layers with full attention and a network without gate.
    package struct Shape: Sendable {
        package var layers: Int
        package var width: Int
        package var feedForwardWidth: Int
        package var vocabulary: Int
        /// Bytes of a row of `width` weights.
        package var rowBytes: Int

        package init(
            layers: Int, width: Int, feedForwardWidth: Int, vocabulary: Int, rowBytes: Int
        ) {
            self.layers = layers
            self.width = width
            self.feedForwardWidth = feedForwardWidth
            self.vocabulary = vocabulary
            self.rowBytes = rowBytes
        }

        /// A neuron's row of up and its column of down.
        package var recordBytes: Int { 2 * rowBytes }
        /// Bundles as import makes them.
        package var neuronsPerBundle: Int {
            PackedNeuronLayer.neuronsPerBundle(
                recordBytes: recordBytes, count: feedForwardWidth)
        }
        package var bundleBytes: Int { PackedLayout.aligned(neuronsPerBundle * recordBytes) }
    }

    /// Everything is read for each token; half of it; bundles of predicted neurons; of those, the
    /// ones that are not in the window.
    package let everything: Double
    package let half: Double
    package let predictor: Double
    package let window: Double

    /// - Parameters:
    ///   - predicted: the share of a layer's neurons that a predictor names for a token.
    ///   - missing: the share that it names and that is not in the window.
    package init(_ shape: Shape, predicted: Double, missing: Double) {
        let attention = 4 * shape.width * shape.rowBytes
        let neurons = shape.feedForwardWidth * shape.recordBytes
        everything =
            (shape.layers * (attention + neurons) + shape.vocabulary * shape.rowBytes).asDouble
        half = everything / 2
        let size = shape.neuronsPerBundle
        let bundles =
            (shape.layers * shape.feedForwardWidth).asDouble / size.asDouble
            * shape.bundleBytes.asDouble
        predictor = bundles * FiringRates.touched(predicted, size: size)
        window = bundles * FiringRates.touched(missing, size: size)
    }
}

extension Int {
    fileprivate var asDouble: Double { Double(self) }
}

extension StreamedReads {
    /// Nil where nothing of `units` is streamed.
    init?(_ plan: WeightPlan, _ units: [DenseUnit]) {
        let streamed = units.filter { $0.pinnedOffset == nil }
        guard !streamed.isEmpty else { return nil }
        self.init(
            readBytes: streamed.reduce(0) { $0 + $1.footprint } / streamed.count,
            depth: max(1, plan.ringSlotCount - 2))
    }
}
