// `sluice calibrate`: predictors of which neurons fire, learned from a text and stored beside the
// packed model, with a table of how good they are and what they cost.

internal import ArgumentParser
internal import Calibration
internal import FlashStorage
internal import Glibc
internal import Knobs
internal import LinuxSystem
internal import ModelFormat
internal import Models
internal import Packing
internal import Tokenization
internal import Weights

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate",
        abstract: "Learns which neurons a model needs for what, from a text.",
        discussion: """
            For models whose neurons mostly stay silent (relu, relu2), writes predictors beside \
            the packed model. For every model whose neurons are bundled (import --neurons), \
            writes how strongly they fire, which --activation-sparsity needs. The last fifth of \
            the text is kept apart, to choose thresholds and to measure. The text should be like \
            what the model will read and write, some thousands of tokens of it.
            """)

    @OptionGroup var model: ModelArguments

    @Option(
        help: ArgumentHelp(
            "A file with the text; special tokens in it are parsed.", valueName: "path"))
    var text: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Of the neurons that fire, the share that predictions shall find.", valueName: "share"))
    var recall: Float = 0.97

    /// Positions whose logits are computed together: those of a large vocabulary take much memory.
    private static let rowsPerStep = 16
    /// Positions that are computed together where logits are not wanted.
    private static let chunkTokens = 256

    @Flag(
        help: ArgumentHelp(
            "Leave neurons where they are in the packed file. Else those that fire together become "
                + "neighbours; the model's output does not change."))
    var keepOrder = false

    func validate() throws {
        guard recall >= 0.5, recall <= 0.999 else {
            throw ValidationError("--recall is between 0.5 and 0.999")
        }
    }

    func run() throws {
        let path = try model.packedPath()
        let keys = try model.engine.options().modelKeys
        let source = try FileByteSource(path: path, name: path)
        try PackedModel(source: source, keys: keys).checkIsPlain()
        let learned = try learn(TextInput.read(text))
        // The model is gone by now: its memory serves this.
        guard var predictors = learned.predictors else { return }
        try measure(&predictors, learned.tokens, path)
        report(predictors, path: NeuronPredictors.path(of: path))
    }

    /// Predictors and thresholds, both saved; predictors are nil for models that need none.
    private func learn(
        _ bytes: [UInt8]
    ) throws -> (predictors: NeuronPredictors?, tokens: [TokenID]) {
        let instance = try model.open {
            $0.prefillChunkTokens = Self.chunkTokens
            $0.logitsRowsMax = Self.rowsPerStep
            // The model as it is.
            $0.activationSparsity = nil
            $0.sparse = .off
        }
        let tokens = instance.tokenizer.encode(utf8: bytes, addSpecial: true, parseSpecial: true)
        let progress = Progress("calibrating")
        do {
            // Learned in the same pass over the text where both are wanted.
            let isBoth =
                instance.manifest.shape.isSparse && instance.manifest.neurons != nil
            let tally = isBoth ? FiringTally(instance) : nil
            let predictors = try predictors(instance, tokens, tally, progress)
            let orders = keepOrder ? nil : predictors?.layers.map(\.order)
            let measured = try thresholds(instance, tokens, orders: orders, tally, progress)
            progress.clear()
            if let predictors { try save(predictors, orders: orders, instance) }
            if let measured { try save(measured.thresholds, measured.points, instance) }
            return (predictors, tokens)
        } catch {
            progress.clear()
            throw error
        }
    }

    /// What predicting costs, as decoding does it; stated in the predictors' file from then on.
    private func measure(
        _ predictors: inout NeuronPredictors, _ tokens: [TokenID], _ path: String
    ) throws {
        let manifest = try PackedModel(source: FileByteSource(path: path)).manifest
        guard manifest.neurons != nil else { return }
        let bar = Progress("measuring what predicting costs")
        defer { bar.clear() }
        let quality = DecodingQuality(path: path, options: try model.engine.options()) {
            bar.show($0)
        }
        predictors.report.decoding = try quality.measure(calibratedWith: tokens)
        try NeuronPredictors.sidecar(besides: path, digest: manifest.source.digest)
            .write(predictors)
    }

    /// Nil for models whose neurons never stay silent by themselves.
    private func predictors(
        _ instance: ModelInstance, _ tokens: [TokenID], _ tally: FiringTally?,
        _ progress: Progress
    ) throws -> NeuronPredictors? {
        guard instance.manifest.shape.isSparse else { return nil }
        return try Calibrator(
            model: instance, recall: recall, onProgress: { progress.show($0 * 0.75) }
        ).calibrate(tokens, tally: tally)
    }

    /// Nil for sparse models without bundles: predictors may still be wanted.
    private func thresholds(
        _ instance: ModelInstance, _ tokens: [TokenID], orders: [[UInt32]]?,
        _ tally: FiringTally?, _ progress: Progress
    ) throws -> (thresholds: FiringThresholds, points: [SparsityPoint])? {
        let isSparse = instance.manifest.shape.isSparse
        if isSparse && instance.manifest.neurons == nil { return nil }
        let start = isSparse ? 0.75 : 0
        return try FiringCalibrator(
            model: instance, orders: orders, onProgress: { progress.show(start + (1 - start) * $0) }
        ).calibrate(tokens, tally: tally)
    }

    private func save(
        _ predictors: NeuronPredictors, orders: [[UInt32]]?, _ instance: ModelInstance
    ) throws {
        if let orders, instance.manifest.neurons != nil {
            try NeuronReordering(path: instance.path).write(
                to: instance.path, orders: orders, processID: getpid())
        }
        try NeuronPredictors.sidecar(
            besides: instance.path, digest: instance.manifest.source.digest
        ).write(predictors)
    }

    private func save(
        _ thresholds: FiringThresholds, _ points: [SparsityPoint], _ instance: ModelInstance
    ) throws {
        try FiringThresholds.sidecar(
            besides: instance.path, digest: instance.manifest.source.digest
        ).write(thresholds)
        var rows = [["--activation-sparsity", "silent", "bytes", "perplexity"]]
        for point in points {
            rows.append([
                point.sparsity == 0 ? "off" : Self.percent(point.sparsity),
                Self.percent(point.silentShare), Self.percent(point.bytesShare),
                Self.number(Mathematics.exponential(point.loss))
            ])
        }
        Terminal.write(Terminal.table(rows))
        Terminal.line("written     \(FiringThresholds.path(of: instance.path))")
    }

    private func report(_ predictors: NeuronPredictors, path: String) {
        var rows = [["layer", "density", "rank", "recall", "precision", "fetched", "cost"]]
        for (index, layer) in predictors.layers.enumerated() {
            let quality = layer.quality
            rows.append([
                "\(index)", Self.percent(quality.density),
                "\(layer.fineRank)+\(layer.coarseRank)", Self.percent(quality.recall),
                Self.percent(quality.precision), Self.percent(quality.fetchedShare),
                Self.percent(quality.costShare)
            ])
        }
        Terminal.write(Terminal.table(rows))
        let report = predictors.report
        Terminal.line(
            "perplexity  \(Self.number(Mathematics.exponential(Double(report.loss)))) "
                + "(\(report.heldOutTokens) tokens held out of "
                + "\(report.tokens + report.heldOutTokens))")
        if let decoding = report.decoding {
            let (all, predicted) = (
                Mathematics.exponential(Double(decoding.loss)),
                Mathematics.exponential(Double(decoding.predictedLoss))
            )
            let loss = (decoding.perplexityLoss * 10_000).rounded() / 100
            Terminal.line(
                "predicted   \(Self.number(predicted)) instead of \(Self.number(all)) "
                    + "(\(decoding.tokens) of them decoded one by one): \(loss) % more, which "
                    + "quality_loss_max is compared with")
        }
        Terminal.line("written     \(path), \(ByteSize.format(UInt64(predictors.byteCount)))")
    }

    private static func percent(_ share: Float) -> String {
        let tenths = Int((share * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }

    private static func number(_ value: Double) -> String {
        guard value.isFinite, value < 1e9 else { return "infinite" }
        let thousandths = Int((value * 1000).rounded())
        let rest = "\(1000 + thousandths % 1000)".dropFirst()
        return "\(thousandths / 1000).\(rest)"
    }

    /// The exit status of a failed calibration (sysexits.h).
    static func status(_ error: CalibrationError) -> Int32 {
        switch error {
        case .library: ExitStatus.unavailable.rawValue
        case .notSparse, .noBundles, .oddWidth, .tooFewTokens, .noConvergence, .neverFires:
            ExitStatus.badData.rawValue
        case .format(let cause): ExitStatus(cause).rawValue
        case .system(let cause): ExitStatus(cause).rawValue
        case .evaluation(let cause): ExitStatus(cause).rawValue
        case .load(let cause): ExitStatus(cause).rawValue
        }
    }
}
