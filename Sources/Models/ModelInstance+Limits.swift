// What is asked for and what the model, or the machine, can: more is refused or said, never done in
// silence.

internal import Inference
internal import LinuxSystem
internal import ModelFormat
internal import SequenceState

extension ModelInstance {
    /// Whether some tokens of longer prompts are kept alone, or computed.
    package var keepsSome: Bool { options.snapTokens != nil || options.gemTokens != nil }

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
        if let asked = options.contextTokens, asked > known, !options.measuring.mayExceedContext {
            throw .contextBeyondModel(asked: asked, known: known)
        }
        let processors = max(1, Processors.allowed.count)
        if options.threads > processors {
            options.onNotice(
                "\(options.threads) threads are more than the \(processors) processors: they wait "
                    + "for each other")
        }
    }
}
