// What is asked for and what the model, or the machine, can: more is refused or said, never done in
// silence.

internal import GenerationAPI
internal import Inference
internal import Knobs
internal import LinuxSystem
package import ModelFormat
internal import SequenceState

extension ModelOptions {
    /// The same with what a model of `shape` can do of it.
    func adapted(to shape: ModelShape) -> ModelOptions {
        var options = self
        options.kvFormat = shape.keyValueFormat(wished: kvFormat)
        if shape.learnedPositions != nil { options.whenFull = .stop }
        return options
    }
}

extension ModelInstance {
    /// Whether some tokens of longer prompts are kept alone, or computed.
    package var keepsSome: Bool { options.snapTokens != nil || options.gemTokens != nil }

    /// Whether keys tell which positions matter: not where they are values too, or differ between
    /// layers.
    package var choosesByKeys: Bool { manifest.shape.choosesByKeys }

    /// Whether a text may go on when the context is full: not beyond positions that were learned.
    package var maySlide: Bool { manifest.shape.learnedPositions == nil }

    /// How keys and values are kept where an order does not say.
    package func keyValueFormat(wished: KVFormat) -> KVFormat {
        manifest.shape.keyValueFormat(wished: wished)
    }

    /// The longest prompt of which some tokens alone can be kept, and what may follow on it: what
    /// is in memory at once, as keys and values are kept now.
    package var gatheredTokensMax: Int {
        min(cache.hotTokens(of: contextTokensNow), transformer.shape.hotTokensMax)
    }

    /// Refuses positions that the model never learned: what it makes of them is nonsense.
    ///
    /// - Throws: `LoadError.contextBeyondModel`.
    static func check(_ parsed: ParsedModel, _ options: ModelOptions) throws(LoadError) {
        let known = parsed.model.manifest.shape.contextLength
        let positions = parsed.model.manifest.shape.learnedPositions
        let mayExceed = options.measuring.mayExceedContext && positions == nil
        if let asked = options.contextTokens, asked > known, !mayExceed {
            throw .contextBeyondModel(asked: asked, known: known)
        }
        if parsed.model.manifest.shape.isRecurrent { tellWhatStatesExclude(options) }
        let shape = parsed.model.manifest.shape
        if !shape.choosesByKeys { tellWhatKeysExclude(options) }
        let format = shape.keyValueFormat(wished: options.kvFormat)
        if format != options.kvFormat {
            options.onNotice(
                "layers of this model read keys of others, which are not packed by pages: "
                    + "kv_bits \(format) in place of \(options.kvFormat)")
        }
        if positions != nil, options.whenFull == .slide {
            options.onNotice(
                "positions of this model were learned, and are no more: kv_when_full stop")
        }
        let processors = max(1, Processors.allowed.count)
        if options.threads > processors {
            options.onNotice(
                "\(options.threads) threads are more than the \(processors) processors: they wait "
                    + "for each other")
        }
    }

    /// The same of a model whose keys do not tell which positions matter.
    private static func tellWhatKeysExclude(_ options: ModelOptions) {
        var names: [String] = []
        if options.coldTokensMax != nil { names.append("kv_cold_tokens_max") }
        if options.snapTokens != nil { names.append("kv_snap_tokens") }
        if options.gemTokens != nil { names.append("kv_gem_tokens") }
        guard !names.isEmpty else { return }
        options.onNotice(
            "keys of this model do not tell which tokens matter: without "
                + names.joined(separator: ", "))
    }

    /// What is wished for everywhere and a model with states does without.
    private static func tellWhatStatesExclude(_ options: ModelOptions) {
        var names: [String] = []
        if case .upTo = options.speculation { names.append("drafts") }
        if options.snapTokens != nil { names.append("kv_snap_tokens") }
        if options.gemTokens != nil { names.append("kv_gem_tokens") }
        guard !names.isEmpty else { return }
        options.onNotice(
            "layers of this model have a state, which is not taken back: without "
                + names.joined(separator: ", "))
    }
}
