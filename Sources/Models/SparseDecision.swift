// How a model whose neurons are bundled is to be decoded: as asked, or as promises to take least
// time. Says what cannot be used.

internal import FlashStorage
internal import Inference
internal import Knobs
internal import ModelFormat
package import Weights

/// What was decided about a model's neurons.
package struct SparseDecision: Sendable {
    /// Nil where neurons are not fetched one by one.
    package internal(set) var options: SparseOptions?
    package internal(set) var predictors: NeuronPredictors?
    /// In a few words, why.
    package internal(set) var reason = ""

    /// Whether nobody asked for predicted neurons by name, and they were chosen.
    var isChosenLossy = false

    /// By what share perplexity may be higher for what is chosen.
    var qualityLossMax = 0.0

    /// Whether what was asked for cannot be had.
    var isRefusal = false

    /// Of each layer, the magnitude below which a neuron counts as silent; empty where all count.
    package internal(set) var thresholds: [Float] = []
    /// What became of the sparsity that was asked for; nil where none was.
    package internal(set) var sparsityNotice: String?

    /// All neurons are read.
    init() {}

    var predictorBytes: Int {
        predictors.map { $0.byteCount + NeuronPredictor.footprint($0, tokensMax: 1) } ?? 0
    }
}

extension SparseDecision {
    /// - Parameter ways: all that memory allows; none where nothing is streamed.
    init(_ problem: DivisionProblem, _ ways: [NeuronWay]) {
        let wishes = problem.wishes
        qualityLossMax = wishes.qualityLossMax
        if let sparsity = wishes.activationSparsity { takeThresholds(problem, sparsity) }
        guard let layers = problem.manifest.neurons else {
            isRefusal = wishes.sparse == .exact || wishes.sparse == .predicted
            reason = "the file has no neuron bundles: its weights are read whole"
            return
        }
        switch wishes.sparse {
        case .off: reason = "neurons are read whole, as asked"
        case .exact:
            options = .fetching(.exact, problem.knowledge.calibration)
            reason = "neurons that fire are fetched, as asked"
        case .predicted where layers.contains { $0.firstBytes == 0 }:
            isRefusal = true
            reason =
                "the file has no rows of neurons' first projection to read for predicted ones: "
                + "its neurons are read whole"
        case .predicted: takePredictors(problem.knowledge)
        case nil: chooseByCost(problem, ways)
        }
    }

    private mutating func takeThresholds(_ problem: DivisionProblem, _ sparsity: Float) {
        guard problem.manifest.neurons != nil else {
            sparsityNotice =
                "the file has no neuron bundles to leave out (import --neurons bundled makes "
                + "them): all neurons count"
            return
        }
        switch problem.knowledge.thresholds {
        case .failure(let error):
            sparsityNotice = "thresholds cannot be used: \(error); all neurons count"
        case .success(nil):
            sparsityNotice =
                "there are no thresholds beside the model: run sluice calibrate; all neurons "
                + "count"
        case .success(let found?):
            thresholds = found.magnitudes(sparsity: sparsity)
            sparsityNotice =
                "activation sparsity \(sparsity), lossy: each layer's weakest neurons count as "
                + "silent"
        }
    }

    private mutating func takePredictors(_ knowledge: Knowledge) {
        switch knowledge.predictors {
        case .failure(let error):
            isRefusal = true
            reason = "predictors cannot be used: \(error); neurons are read whole"
        case .success(nil):
            isRefusal = true
            reason =
                "there are no predictors beside the model: run sluice calibrate; neurons are read "
                + "whole"
        case .success(let found?):
            predictors = found
            options = .fetching(.predicted, found)
            reason = "predicted neurons are fetched, as asked"
        }
    }

    /// What is expected to take least time of all that may be chosen.
    private mutating func chooseByCost(_ problem: DivisionProblem, _ ways: [NeuronWay]) {
        guard let whole = ways.first else {
            reason = "all weights stay in memory"
            return
        }
        guard ways.count > 1 else {
            reason = "there is too little memory to fetch neurons one by one"
            return
        }
        let (known, speeds) = (problem.knowledge.calibration, problem.knowledge.speeds)
        let lossy = LossAllowance(known, lossMax: qualityLossMax)
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
            options = .fetching(.exact, known)
            reason = "those that fire are fetched, which costs less than reading all (\(basis))"
        case .predicted:
            options = .fetching(.predicted, known)
            predictors = known
            isChosenLossy = true
            reason = "predicted ones are fetched, which costs least (\(basis))"
        }
        let predicted = ways.first { $0.mode == .predicted }
        if best.mode == .predicted || predicted.map({ speeds.prefers($0, to: best) }) == true {
            reason += "; \(lossy)"
        }
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
