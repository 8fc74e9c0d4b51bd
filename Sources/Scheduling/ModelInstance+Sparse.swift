// How a model whose neurons are bundled is to be decoded: as asked, or as promises fewer bytes from
// flash. Loads predictors, and says what cannot be used.

internal import Inference
internal import LinuxSystem
internal import ModelFormat
package import WeightStore

/// What was decided about a model's neurons.
package struct SparseDecision: Sendable {
    /// Nil where neurons are not fetched one by one.
    package var options: SparseOptions?
    package var predictors: NeuronPredictors?
    /// In a few words, why.
    package var reason: String

    /// Whether what was asked for cannot be had.
    var isRefusal = false

    /// Of each layer, the magnitude below which a neuron counts as silent; empty where all count.
    package var thresholds: [Float] = []
    /// What became of the sparsity that was asked for; nil where none was.
    var sparsityNotice: String?

    var predictorBytes: Int {
        predictors.map { $0.byteCount + NeuronPredictor.footprint($0, tokensMax: 1) } ?? 0
    }
}

extension SparseDecision {
    /// Neurons that fire where nobody measured it: a guess on the high side.
    private static let densityAssumed: Float = 0.1
    /// What a byte of small reads costs beside one of large reads, on the low side.
    private static let smallReadCost = 2.0
    /// Of what a layer's neurons need, how much more memory it is worth where more of them fire.
    private static let shareExponent: Float = 1.4

    init(_ parsed: ParsedModel, path: String, _ options: ModelOptions) {
        let manifest = parsed.model.manifest
        var sizing: ModelSizing?
        if options.sparse == nil, manifest.neurons != nil, !options.isResident {
            sizing = try? ModelSizing(parsed, options)
        }
        self.init(
            manifest, path: path, wanted: options.sparse, sparsity: options.activationSparsity,
            sizing: sizing)
        guard options.sparse == nil, self.options != nil else { return }
        if (try? ModelSizing(parsed, options.deciding(self))) == nil {
            self.options = nil
            reason = "there is too little memory to fetch neurons one by one"
        }
    }

    /// - Parameters:
    ///   - sparsity: the share of neurons that shall count as silent.
    ///   - sizing: of streaming without fetching neurons, for the comparison.
    init(
        _ manifest: PackedManifest, path: String, wanted: SparseMode?, sparsity: Float? = nil,
        sizing: ModelSizing?
    ) {
        self.init(options: nil, predictors: nil, reason: "")
        if let sparsity { loadThresholds(path, manifest, sparsity) }
        guard let layers = manifest.neurons else {
            isRefusal = wanted == .exact || wanted == .predicted
            reason = "the file has no neuron bundles: its weights are read whole"
            return
        }
        switch wanted {
        case .off: reason = "neurons are read whole, as asked"
        case .exact:
            options = SparseOptions(mode: .exact)
            reason = "neurons that fire are fetched, as asked"
        case .predicted where layers.contains { $0.firstBytes == 0 }:
            isRefusal = true
            reason =
                "the file has no rows of neurons' first projection to read for predicted ones: "
                + "its neurons are read whole"
        case .predicted: loadPredictors(path, manifest)
        case nil:
            let natural = manifest.hyperparameters.isSparse ? Self.densityAssumed : 1
            let density = thresholds.isEmpty ? natural : min(natural, 1 - (sparsity ?? 0))
            chooseByCost(manifest, layers, sizing, density: density)
        }
    }

    private mutating func loadThresholds(
        _ path: String, _ manifest: PackedManifest, _ sparsity: Float
    ) {
        guard manifest.neurons != nil else {
            sparsityNotice =
                "the file has no neuron bundles to leave out (import --neurons bundled makes "
                + "them): all neurons count"
            return
        }
        do throws(WeightError) {
            guard
                let found = try FiringThresholds.load(
                    besides: path, digest: manifest.source.digest,
                    layerCount: manifest.hyperparameters.layerCount)
            else {
                sparsityNotice =
                    "there are no thresholds beside the model: run sluice calibrate; all neurons "
                    + "count"
                return
            }
            thresholds = found.magnitudes(sparsity: sparsity)
            sparsityNotice =
                "activation sparsity \(sparsity), lossy: each layer's weakest neurons count as "
                + "silent"
        } catch {
            sparsityNotice = "thresholds cannot be used: \(error); all neurons count"
        }
    }

    private mutating func loadPredictors(_ path: String, _ manifest: PackedManifest) {
        do throws(WeightError) {
            predictors = try NeuronPredictors.load(
                besides: path, digest: manifest.source.digest,
                hyperparameters: manifest.hyperparameters)
        } catch {
            isRefusal = true
            reason = "predictors cannot be used: \(error); neurons are read whole"
            return
        }
        guard let predictors else {
            isRefusal = true
            reason =
                "there are no predictors beside the model: run sluice calibrate; neurons are read "
                + "whole"
            return
        }
        let shares = predictors.layers.map {
            Self.power($0.quality.density, Self.shareExponent)
        }
        options = SparseOptions(mode: .predicted, shares: shares)
        reason = "predicted neurons are fetched, as asked"
    }

    /// Exact fetching where a token then reads less, small reads counted as dearer.
    ///
    /// - Parameter density: the share of neurons that fire.
    private mutating func chooseByCost(
        _ manifest: PackedManifest, _ layers: [PackedNeuronLayer], _ sizing: ModelSizing?,
        density: Float
    ) {
        guard let plan = sizing?.plan, plan.streamsDense else {
            reason = "all weights stay in memory"
            return
        }
        let whole = plan.units.filter { $0.pinnedOffset == nil }.reduce(0) { $0 + $1.footprint }
        let neurons = layers.reduce(0) { $0 + $1.byteCount }
        let fetched = layers.reduce(0.0) { sum, layer in
            let silent =
                density < 1 ? Self.power(1 - density, Float(layer.neuronsPerBundle)) : 0
            return sum + Double(1 - silent) * Double(layer.byteCount)
        }
        // The memory that neurons had keeps other weights instead.
        let rest = max(0, plan.denseBytes - neurons - plan.pinnedBytes)
        let cost = Double(rest) + fetched * Self.smallReadCost
        if cost < Double(whole) {
            options = SparseOptions(mode: .exact)
            reason = "fetching neurons that fire reads less than reading all"
        } else {
            reason = "reading all neurons costs less than fetching those that fire"
        }
    }

    private static func power(_ base: Float, _ exponent: Float) -> Float {
        Float(Mathematics.power(Double(max(base, 1e-3)), Double(exponent)))
    }
}

extension ModelOptions {
    /// The same with what was decided.
    func deciding(_ decision: SparseDecision) -> Self {
        var options = self
        options.sparseOptions = isResident ? nil : decision.options
        options.sparseOptions?.keepsWindows = keepsNeuronWindows
        options.sparseOptions?.readsApart = readsNeuronsApart
        options.predictorBytes = isResident ? 0 : decision.predictorBytes
        return options
    }
}
