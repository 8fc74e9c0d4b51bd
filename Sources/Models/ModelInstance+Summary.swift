// What clients and logs are told of a model that was loaded.

internal import AnswerParsing
internal import Compute
package import GenerationAPI
internal import Inference
internal import Knobs
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState
internal import Tokenization
internal import Weights

extension ModelInstance {
    /// What is told of it.
    package var summary: LoadedModel {
        let reads: LoadedModel.Reads =
            switch plan.sparse?.mode {
            case nil, .off: .whole
            case .exact: .exact
            case .predicted: .predicted
            }
        var loaded = LoadedModel(
            reads: reads, readsReason: manifest.neurons == nil ? nil : sparse.reason,
            contextTokens: contextTokens, contextReason: contextReason,
            hotTokens: division.hotTokens, keyValueFormat: cache.layout.format,
            memoryBytesMax: budget.limitBytes)
        loaded.sequencesMax = division.sequencesMax
        (loaded.chatTemplate, loaded.toolTemplate) = (templates.plain, templates.tool)
        loaded.beginning = tokenizer.text(tokenizer.vocabularySpecial.beginning)
        loaded.end = tokenizer.text(tokenizer.vocabularySpecial.end)
        let styles = templates.all.compactMap { AnswerStyle(template: $0) }
        if styles.contains(where: \.hasCalls) { loaded.capabilities.insert(.tools) }
        if styles.contains(where: \.dividesEveryAnswer) { loaded.capabilities.insert(.thinking) }
        if manifest.shape.pooling != nil { loaded.capabilities.insert(.embedding) }
        return loaded
    }
}

extension ModelInstance {
    /// How fast an answer should come; nil where nothing is known of that.
    package func expectedSpeed(promptTokens: Int, cachedTokens: Int) -> ExpectedSpeed? {
        let speeds = division.speeds
        let expected = ExpectedSpeed(
            firstTokenSeconds: prediction.promptSeconds(
                tokens: promptTokens - cachedTokens, after: cachedTokens, speeds),
            tokensPerSecond: prediction.tokenSeconds(speeds, isResident: options.isResident)
                .map { 1 / max($0, 1e-9) })
        return expected == ExpectedSpeed() ? nil : expected
    }

    /// How this model is used under the name `name`, whose opening took so long.
    package func report(name: String, seconds: Double) -> LoadReport {
        var report = LoadReport(
            model: name, architecture: manifest.shape.architecture,
            fileBytes: fileBytes, seconds: seconds, budgetBytes: budget.sumBytes,
            limitBytes: budget.limitBytes, contextTokens: contextTokens, reading: reading)
        report.settings = settings
        return report
    }

    /// What became of knobs that memory, the model and the drive have a say in.
    private var settings: [LoadReport.Field] {
        let own = [
            ("threads", "\(transformer.executor.team.memberCount)"),
            ("sessions_max", "\(division.sequencesMax)"),
            ("prefill_chunk_tokens", "\(transformer.shape.tokensMax)"),
            ("speculate", "\(speculationRoom.draftsMax)"),
            ("kv_bits", "\(cache.layout.format)"),
            ("kv_when_full", options.whenFull.rawValue),
            ("kv_cold_tokens_max", options.coldTokensMax.map { "\($0)" } ?? "all"),
            ("kv_snap_tokens", options.snapTokens.map { "\($0)" } ?? "off"),
            ("kv_gem_tokens", options.gemTokens.map { "\($0)" } ?? "off"),
            ("quality_loss_max", "\(sparse.qualityLossMax)")
        ]
        return (own + store.settings).map { LoadReport.Field($0.0, $0.1) }
    }

    /// Which weights stay in memory, and which are read for each pass.
    private var reading: [LoadReport.Field] {
        let dense = max(plan.denseBytes, 1)
        let stays = plan.streamsDense ? plan.pinnedBytes * 100 / dense : 100
        var fields = [LoadReport.Field("dense_resident_percent", "\(stays)")]
        let experts = manifest.experts.reduce(0) { $0 + $1.count }
        if experts > 0 {
            fields.append(LoadReport.Field("expert_slots", "\(plan.expertSlotCount)/\(experts)"))
        }
        if manifest.neurons != nil {
            let mode = sparse.options.map { $0.mode.rawValue } ?? "off"
            fields.append(LoadReport.Field("sparse", mode))
        }
        return fields
    }
}
