// What memory is for. Whatever takes any has its term here.

/// A purpose that memory is reserved for, by the name that is printed.
package enum MemoryTerm: String, Sendable, CaseIterable {
    /// Code, runtime, thread stacks, allocator, and pages for a moment. Counted once.
    case process
    /// Clients: what they sent, what waits to be sent to them. Counted once.
    case connections
    case vocabulary
    /// Norms, biases and the like.
    case vectors
    case neuronScales = "neuron scales"
    /// The books: an entry per extent and expert, checksums.
    case directory
    /// One prompt, while it becomes tokens, and its tokens.
    case promptText = "prompt text"
    case sampler
    /// What may still become a call, or thoughts, of an answer on its way out.
    case answers
    /// What answers are held to: a vocabulary's index, grammars, masks.
    case grammars
    case keyValuePages = "KV pages"
    /// What layers without keys and values keep of texts.
    case states
    /// The books of prefixes.
    case prefixes
    /// What prefixes pass through on their way to and from flash.
    case prefixesOnTheirWay = "prefixes on their way"
    case activations
    /// The text that drafts come from.
    case drafts
    case predictors
    case denseWeights = "dense weights"
    case denseRing = "dense ring"
    case expertSlots = "expert slots"
    case embeddingWindows = "embedding windows"
    case neuronsOnTheirWay = "neurons on their way"
    case neuronWindows = "neuron windows"
    /// What a model's weights take at the least, in a refusal.
    case leastWeights = "least weights"
    /// What a drive or memory is measured with, while nothing else has its place.
    case measuring
    /// Buffers of an import.
    case packing
    case calibration

    /// Everything that is read from a packed file into the arena of weights.
    package static let streamedWeights: Set<MemoryTerm> = [
        .denseWeights, .denseRing, .expertSlots, .embeddingWindows, .neuronsOnTheirWay,
        .neuronWindows
    ]
}
