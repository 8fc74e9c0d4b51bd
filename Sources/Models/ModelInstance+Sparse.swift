// How a model whose neurons are bundled is to be decoded: as asked, or as promises to take
// least time. Loads predictors, and says what cannot be used.

internal import FlashStorage
internal import Inference
internal import Knobs
internal import LinuxSystem
internal import ModelFormat
package import Weights

/// What was decided about a model's neurons.
package struct SparseDecision: Sendable {
    /// Nil where neurons are not fetched one by one.
    package var options: SparseOptions?
    package var predictors: NeuronPredictors?
    /// In a few words, why.
    package var reason: String

    /// Whether nobody asked for predicted neurons by name, and they were chosen.
    var isChosenLossy = false

    /// By what share perplexity may be higher for what is chosen.
    var qualityLossMax = 0.0

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
    /// Of what a layer's neurons need, how much more memory it is worth where more of them fire.
    private static let shareExponent: Float = 1.4

    init(_ parsed: ParsedModel, path: String, _ options: ModelOptions) {
        let manifest = parsed.model.manifest
        self.init(options: nil, predictors: nil, reason: "")
        qualityLossMax = options.qualityLossMax
        if let sparsity = options.activationSparsity { loadThresholds(path, manifest, sparsity) }
        guard let layers = manifest.neurons else {
            isRefusal = options.sparse == .exact || options.sparse == .predicted
            reason = "the file has no neuron bundles: its weights are read whole"
            return
        }
        switch options.sparse {
        case .off: reason = "neurons are read whole, as asked"
        case .exact:
            self.options = Self.fetching(.exact, Self.calibration(path, manifest))
            reason = "neurons that fire are fetched, as asked"
        case .predicted where layers.contains { $0.firstBytes == 0 }:
            isRefusal = true
            reason =
                "the file has no rows of neurons' first projection to read for predicted ones: "
                + "its neurons are read whole"
        case .predicted: loadPredictors(path, manifest)
        case nil: chooseByCost(parsed, path, options)
        }
    }

    private static func fetching(
        _ mode: SparseMode, _ predictors: NeuronPredictors?
    ) -> SparseOptions {
        let shares = predictors?.layers.map { power($0.quality.density, shareExponent) }
        return SparseOptions(mode: mode, shares: shares)
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
        do throws(SidecarError) {
            guard
                let found = try FiringThresholds.sidecar(
                    besides: path, digest: manifest.source.digest
                ).read(for: manifest.shape.layerCount)
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
        do throws(SidecarError) {
            predictors = try NeuronPredictors.sidecar(
                besides: path, digest: manifest.source.digest
            ).read(for: manifest.shape)
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
        options = Self.fetching(.predicted, predictors)
        reason = "predicted neurons are fetched, as asked"
    }

    /// What calibration counted, as far as it can be used: exact decoding does not depend on it.
    private static func calibration(
        _ path: String, _ manifest: PackedManifest
    ) -> NeuronPredictors? {
        try? NeuronPredictors.sidecar(
            besides: path, digest: manifest.source.digest
        ).read(for: manifest.shape)
    }

    /// What is expected to take least time of all that may be chosen.
    private mutating func chooseByCost(
        _ parsed: ParsedModel, _ path: String, _ options: ModelOptions
    ) {
        guard !options.isResident,
            let plan = try? ModelSizing.asked(parsed, options).plan, plan.streamsDense
        else {
            reason = "all weights stay in memory"
            return
        }
        let ways = Self.ways(parsed, path: path, options, isThresholded: !thresholds.isEmpty)
        guard let whole = ways.first(where: { $0.mode == .off }), ways.count > 1 else {
            reason = "there is too little memory to fetch neurons one by one"
            return
        }
        let known = Self.calibration(path, parsed.model.manifest)
        let lossy = LossAllowance(known, lossMax: qualityLossMax)
        let speeds = Self.speeds(options, path)
        let best = ways.filter { $0.mode != .predicted || lossy.isAllowed }.dropFirst()
            .reduce(whole) { speeds.prefers($1, to: $0) ? $1 : $0 }
        let basis =
            speeds.drive == nil
            ? "small reads counted as twice as dear: the drive was not measured"
            : "by what was measured of the drive"
        switch best.mode {
        case .off:
            reason = "all are read, which costs less than fetching those that fire (\(basis))"
        case .exact:
            self.options = Self.fetching(.exact, known)
            reason = "those that fire are fetched, which costs less than reading all (\(basis))"
        case .predicted:
            self.options = Self.fetching(.predicted, known)
            predictors = known
            isChosenLossy = true
            reason = "predicted ones are fetched, which costs least (\(basis))"
        }
        let predicted = ways.first { $0.mode == .predicted }
        if best.mode == .predicted || predicted.map({ speeds.prefers($0, to: best) }) == true {
            reason += "; \(lossy)"
        }
    }

    private static func speeds(_ options: ModelOptions, _ path: String) -> MachineSpeeds {
        options.flash.tuner?.speeds(forFile: path) ?? MachineSpeeds()
    }

    /// Every way of decoding that the budget allows, with what a token is expected to move; none
    /// where nothing is streamed.
    ///
    /// - Parameter isThresholded: whether the sparsity that was asked for is in force.
    static func ways(
        _ parsed: ParsedModel, path: String, _ options: ModelOptions, isThresholded: Bool
    ) -> [NeuronWay] {
        let manifest = parsed.model.manifest
        guard manifest.neurons != nil, !options.isResident else { return [] }
        func plan(_ decision: SparseDecision) -> WeightPlan? {
            (try? ModelSizing.asked(parsed, options.deciding(decision)))?.plan
        }
        let whole = plan(SparseDecision(options: nil, predictors: nil, reason: ""))
        guard let whole, whole.streamsDense else { return [] }
        let known = calibration(path, manifest)
        let natural = manifest.shape.isSparse ? FiringRates.densityAssumed : 1
        let silent = isThresholded ? Double(options.activationSparsity ?? 0) : 0
        let rates =
            known.map { FiringRates.calibrated($0) } ?? .alike(min(natural, 1 - silent))
        let reads = NeuronReads(
            gapBytesMax: speeds(options, path).gapBytesMax ?? options.flash.gapBytesMax,
            blockBytes: (try? FlashFile.blockBytes(path: path, options: options.flash)) ?? 4096)
        var ways = [NeuronWay(streaming: whole)]
        let holdsFirst = manifest.neurons?.allSatisfy { $0.firstBytes > 0 } ?? false
        for mode in [SparseMode.exact, .predicted]
        where mode == .exact || known != nil && holdsFirst {
            let decision = SparseDecision(
                options: fetching(mode, known), predictors: mode == .exact ? nil : known,
                reason: "")
            if let plan = plan(decision),
                let way = NeuronWay(
                    fetching: plan, manifest, rates: rates, reads,
                    predictorBytes: mode == .exact ? 0 : known?.byteCount ?? 0)
            {
                ways.append(way)
            }
        }
        return ways
    }

    private static func power(_ base: Float, _ exponent: Float) -> Float {
        Float(Mathematics.power(Double(max(base, 1e-3)), Double(exponent)))
    }
}

/// Whether predicted neurons may be read where nobody asked for them by name.
private struct LossAllowance: CustomStringConvertible {
    /// By what share perplexity is higher; nil where that is not known.
    private let loss: Double?
    private let lossMax: Double

    init(_ known: NeuronPredictors?, lossMax: Double) {
        loss = known?.report.decoding?.perplexityLoss
        self.lossMax = lossMax
    }

    /// Nothing lossy is exact, however well it did on some text.
    var isAllowed: Bool { lossMax > 0 && loss.map { $0 <= lossMax } == true }

    var description: String {
        guard let loss else {
            return "what predicted ones cost in perplexity is not known: sluice calibrate says it"
        }
        let stated = "predicted ones cost \(Self.percent(loss)) of perplexity"
        return isAllowed
            ? "\(stated), quality_loss_max allows \(Self.percent(lossMax))"
            : "\(stated), faster but more than quality_loss_max, \(Self.percent(lossMax))"
    }

    private static func percent(_ share: Double) -> String {
        "\((share * 10_000).rounded() / 100) %"
    }
}

extension ModelInstance {
    /// Lets the drive be measured before it is decided what is read from it, in the memory that
    /// weights take later.
    static func learnDrive(of parsed: ParsedModel, _ path: String, _ options: ModelOptions) {
        guard options.sparse == nil, !options.isResident, parsed.model.manifest.neurons != nil,
            let tuner = options.flash.tuner,
            let plan = try? ModelSizing.asked(parsed, options).plan, plan.streamsDense
        else { return }
        _ = tuner.tuned(options.flash, path: path, memoryBytes: plan.arenaBytes)
    }
}

extension ModelOptions {
    /// Whether neurons may be predicted, and those that are not be left out.
    package var mayPredict: Bool {
        !isResident && (sparse == .predicted || sparse == nil && qualityLossMax > 0)
    }

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
