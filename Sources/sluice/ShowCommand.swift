// `sluice show`: what a model is, and how it would use a budget.

internal import ArgumentParser
internal import FlashStorage
internal import GenerationAPI
internal import Knobs
internal import Memory
internal import ModelFormat
internal import Models
internal import Packing
internal import Weights

struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows a model, and what it needs under a memory limit.")

    @OptionGroup var model: ModelArguments
    @OptionGroup var service: ServiceArguments

    @Flag(help: "Read every weight and compare it with its checksum.")
    var check = false

    func run() throws {
        let path = try model.packedPath()
        var options = try model.engine.options()
        let profile = try model.engine.readProfile()
        try service.apply(to: &options, profile)
        if service.service { options.keepPrefixes(as: profile.keyValues) }
        let source = try FileByteSource(path: path, name: path)
        let packed = try PackedModel(source: source, keys: options.modelKeys)
        describe(packed, try packed.vocabulary(from: source).templates.names)
        if check {
            try Progress.during("checking") { progress in
                _ = try PackedVerifier.verify(packed, source: packed.plain(source)) {
                    progress.show($0.share)
                }
            }
            Terminal.line("weights         all checksums are right")
        }
        let division = try ModelInstance.division(path: path, options: options)
        describeBudget(division, packed, options)
        let speeds = division.speeds
        for way in division.neuronWays { describe(way, speeds) }
        describeSpeed(SpeedPrediction(division, packed.manifest), speeds)
        if service.service { describeAccess(try model.engine.readProfile().access) }
    }

    /// Who may ask the service.
    private func describeAccess(_ access: Profile.Access) {
        for (name, value) in access.summary { Terminal.line(Self.row(name, value)) }
    }

    private func describe(_ packed: PackedModel, _ templates: [String]) {
        let manifest = packed.manifest
        let shape = manifest.shape
        var rows = [
            ("name", manifest.modelName),
            ("architecture", shape.architecture),
            ("source", "\(manifest.source.fileName) (\(manifest.source.digest))"),
            ("file", ByteSize.format(packed.fileByteCount)),
            ("context", "\(shape.contextLength) tokens"),
            ("layers", "\(shape.layerCount), width \(shape.width)"),
            (
                "attention", Self.attention(shape)
            ),
            ("vocabulary", "\(shape.vocabularySize) tokens"),
            ("formats", formats(manifest))
        ]
        if packed.seal != nil { rows.append(("encryption", "AES-256-GCM")) }
        if templates.count > 1 {
            rows.append(("chat templates", templates.joined(separator: " ")))
        }
        if shape.isRecurrent { rows.append(("states", Self.states(shape))) }
        if let own = manifest.layerEmbeddings {
            rows.append(("layers' embeddings", Self.describe(own)))
        }
        if let experts = shape.experts {
            rows.append(("experts", Self.describe(experts, manifest)))
        }
        if let neurons = manifest.neurons?.first {
            let bytes = (neurons.firstBytes + neurons.restBytes) * neurons.neuronsPerBundle
            let padding = 100 - bytes * 100 / neurons.bundleBytes
            rows.append(
                (
                    "neurons",
                    "\(neurons.count) per layer, in bundles of \(neurons.neuronsPerBundle) and "
                        + "\(neurons.bundleBytes >> 10) KiB, \(padding) % padding"
                ))
            let order = manifest.neurons?.contains { $0.isReordered } == true
            rows.append(("", order ? "reordered by calibration" : "in their own order"))
        }
        if let activation = shape.activationAsked {
            rows.append(("activation", "\(activation.rawValue), asked for at import"))
        }
        rows += manifest.conversions.map { ("converted", $0) }
        for (name, value) in rows { Terminal.line(Self.row(name, value)) }
    }

    private static func describe(_ experts: MixtureShape, _ manifest: PackedManifest) -> String {
        let (some, all) = (manifest.experts.count, manifest.shape.layerCount)
        let place = some < all ? " in \(some) of \(all) layers" : " per layer"
        return "\(experts.count)\(place), \(experts.usedCount) used"
    }

    /// What becomes of texts that are longer, where that was asked for.
    private static func lossyModes(_ options: ModelOptions) -> [String] {
        var modes: [String] = []
        if options.whenFull == .slide {
            modes.append("what is oldest goes when it is full (lossy)")
        }
        if let kept = options.snapTokens {
            modes.append("\(kept) tokens of a longer prompt are kept, and its last ones (lossy)")
        }
        if let computed = options.gemTokens {
            modes.append("\(computed) tokens of a longer prompt are computed (lossy)")
        }
        return modes
    }

    /// How many layers have a state in place of keys and values, and what it takes.
    private static func states(_ shape: ModelShape) -> String {
        let count = shape.recurrents.count { $0 != nil }
        return "in \(count) of \(shape.layerCount) layers, in place of keys and values; "
            + "\(ByteSize.format(UInt64(shape.stateBytes))) a text"
    }

    private static func attention(_ shape: ModelShape) -> String {
        let attention = shape.attention
        if let latent = shape.latents.first {
            return "\(latent.headCount) heads over latents of "
                + "\(latent.keyValueRank + latent.turnedHeadWidth) numbers"
        }
        let counts = Set(shape.attentions.map(\.keyValueHeadCount)).sorted()
        let range = [counts.first, counts.count > 1 ? counts.last : nil].compactMap(\.self)
        return "\(attention.headCount) heads, \(range.map(String.init).joined(separator: " to ")) "
            + "for keys and values" + windows(shape) + sharing(shape)
    }

    /// How many layers read keys of earlier ones, where any do.
    private static func sharing(_ shape: ModelShape) -> String {
        let count = shape.attentions.count { $0.keyValueLayer != nil }
        return count == 0 ? "" : "; \(count) read keys and values of earlier ones"
    }

    /// What each layer has of its own for each token.
    private static func describe(_ rows: PackedRows) -> String {
        "one for each token, \(ByteSize.format(UInt64(rows.byteCount))) in all, stay on flash; "
            + "a token reads \(ByteSize.format(UInt64(rows.rowBytes)))"
    }

    /// How many layers see only the newest positions, where any do.
    private static func windows(_ shape: ModelShape) -> String {
        let windows = shape.attentions.compactMap(\.window)
        guard let widest = windows.max() else { return "" }
        return "; \(windows.count) of \(shape.layerCount) layers see the newest \(widest) positions"
    }

    private func formats(_ manifest: PackedManifest) -> String {
        let all =
            manifest.matrices.map(\.format)
            + manifest.experts.flatMap { $0.parts.map(\.format) }
            + (manifest.neurons ?? []).flatMap { [$0.up, $0.down] }
        return Set(all.map(\.rawValue)).sorted().joined(separator: " ")
    }

    private func describeBudget(
        _ division: Division, _ packed: PackedModel, _ options: ModelOptions
    ) {
        Terminal.line("")
        for term in division.budget.terms where term.bytes > 0 {
            Terminal.line(Self.row(term.name, MemoryPlan.mebibytes(term.bytes)))
        }
        Terminal.line(Self.row("sum", MemoryPlan.mebibytes(division.budget.sumBytes)))
        if !model.engine.resident {
            Terminal.line(Self.row("limit", MemoryPlan.mebibytes(division.budget.limitBytes)))
        }
        Terminal.line(
            Self.row(
                "context",
                "\(division.contextTokens) tokens at once: \(division.contextReason)"))
        if division.hotTokens < division.contextTokens {
            Terminal.line(
                Self.row(
                    "", "the latest \(division.hotTokens) of them in memory, the rest on flash"))
            if let most = options.coldTokensMax {
                Terminal.line(
                    Self.row("", "of which a token of an answer reads at most \(most) (lossy)"))
            }
        }
        for mode in Self.lossyModes(options) { Terminal.line(Self.row("", mode)) }
        if division.sequencesMax > 1 {
            Terminal.line(
                Self.row("", "shared by \(division.sequencesMax) requests at once"))
        }
        describeKeyValues(division, packed.manifest.shape)
        let total = division.plan.denseBytes
        let experts = packed.manifest.experts.reduce(0) { $0 + $1.count }
        let verdict =
            division.plan.streamsDense
            ? "dense weights streamed: \(division.plan.pinnedBytes * 100 / max(total, 1)) % stay"
            : "dense weights stay in memory"
        Terminal.line(Self.row("verdict", verdict))
        if let reason = Self.reason(division, packed) { Terminal.line(Self.row("neurons", reason)) }
        if let plan = division.plan.sparse {
            let rows = plan.windowRows.reduce(0, +)
            Terminal.line(Self.row("", "\(rows) of them stay, those that fired lately"))
        }
        if experts > 0 {
            Terminal.line(
                Self.row("", "\(division.plan.expertSlotCount) of \(experts) experts fit at once"))
            if let shortage = division.workingSetShortage {
                Terminal.line(Self.row("note", "\(shortage)"))
            }
        }
    }

    /// What a token takes of the KV pages at each width, and the context that they hold.
    private func describeKeyValues(_ division: Division, _ shape: ModelShape) {
        for (index, width) in division.keyValueWidths(shape).enumerated() {
            let bits = (width.bitsEffective * 100).rounded() / 100
            let bytes = ByteSize.format(UInt64(width.tokenBytes))
            Terminal.line(
                Self.row(
                    index == 0 ? "KV pages hold" : "",
                    "\(width.contextTokens) tokens at \(width.format) bits (\(bits) with scales, "
                        + "\(bytes) a token)\(width.isUsed ? ", in use" : "")"))
        }
    }

    /// Which neurons are read, and why, where there is something to say.
    private static func reason(_ division: Division, _ packed: PackedModel) -> String? {
        let sparse = division.sparse
        let reason = packed.manifest.neurons == nil ? nil : sparse.reason
        let reasons = [reason, sparse.sparsityNotice].compactMap { $0 }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }

    /// What a token is expected to read one way or another.
    private func describe(_ way: NeuronWay, _ speeds: MachineSpeeds) {
        let name =
            switch way.mode {
            case .off: "all neurons"
            case .exact: "those that fire"
            case .predicted: "those predicted"
            }
        var parts = ["\(ByteSize.format(UInt64(way.bytes))) from flash for each token"]
        if way.mode != .off {
            let fetched = ByteSize.format(UInt64(way.fetchedBytes))
            parts.append("\(fetched) of it in \(Int(way.fetchedReads.rounded())) reads")
        }
        if let seconds = speeds.seconds(way) { parts.append(Self.milliseconds(seconds)) }
        if way.mode == .predicted { parts.append("lossy: --sparse predicted") }
        Terminal.line(Self.row("  " + name, parts.joined(separator: ", ")))
    }

    /// A prediction from what `sluice tune` or the daemon measured; it measures nothing itself.
    private func describeSpeed(_ prediction: SpeedPrediction, _ speeds: MachineSpeeds) {
        let isResident = model.engine.resident
        let isStreamed = !isResident && prediction.readsWeights
        let (drive, memory) = (speeds.drive, speeds.memoryBytesPerSecond)
        guard let seconds = prediction.tokenSeconds(speeds, isResident: isResident) else {
            Terminal.line(Self.row("expected", "unknown: run sluice tune"))
            return
        }
        let tenths = (10 / seconds).rounded() / 10
        Terminal.line(
            Self.row(
                "expected",
                "\(tenths) tokens/s generating, \(Self.milliseconds(seconds)) a token "
                    + "(a prediction)"
            ))
        var reasons: [String] = []
        if isStreamed, let drive {
            let read = ByteSize.format(UInt64(prediction.flashBytesPerToken))
            let rate = drive.bytesPerSecond(prediction.way.streamedReads)
            reasons.append("\(read) from flash for each token, long reads at \(Self.rate(rate))")
        }
        if let memory {
            let touched = ByteSize.format(UInt64(prediction.weightBytesPerToken))
            reasons.append("\(touched) from memory at \(Self.rate(memory))")
        }
        Terminal.line(Self.row("", reasons.joined(separator: ", ")))
        if isStreamed, let hits = prediction.expertHitRate {
            let percent = Int((hits * 100).rounded())
            Terminal.line(
                Self.row("", "\(percent) % of experts found in memory, if all are as likely"))
        }
        describePrompts(prediction, speeds)
    }

    /// A prediction, too.
    private func describePrompts(_ prediction: SpeedPrediction, _ speeds: MachineSpeeds) {
        let tokens = Self.promptTokensShown
        guard let seconds = prediction.promptSeconds(tokens: tokens, speeds) else { return }
        let rate = Int((Double(tokens) / seconds).rounded())
        Terminal.line(
            Self.row(
                "", "\(rate) tokens/s of prompts, \(Self.milliseconds(seconds)) for \(tokens)"))
    }

    /// A question with a page of text.
    private static let promptTokensShown = 512

    private static func milliseconds(_ seconds: Double) -> String {
        "\((seconds * 10_000).rounded() / 10) ms"
    }

    private static func rate(_ bytesPerSecond: Double) -> String {
        ByteSize.format(UInt64(bytesPerSecond)) + "/s"
    }

    private static func row(_ name: String, _ value: String) -> String {
        name + String(repeating: " ", count: max(1, 20 - name.count)) + value
    }
}
