// How a loaded model runs, in what clients and logs are told of it.

package import ModelFormat

/// What loading decided.
package struct LoadedModel: Sendable, Equatable {
    /// What a generated token reads of feed-forward networks.
    package enum Reads: String, Sendable, CaseIterable {
        /// All of their weights, or all of the experts' that it uses.
        case whole
        /// Those of neurons that fire; the output is the same.
        case exact
        /// Those of neurons that a predictor names: lossy.
        case predicted
    }

    /// What a model can besides continuing a text, by its chat templates; and whether it was made
    /// for embeddings.
    package enum Capability: String, Sendable, CaseIterable {
        case tools, thinking, embedding
    }

    package var reads: Reads
    /// Why; nil where the file leaves no choice.
    package var readsReason: String?
    package var contextTokens: Int
    package var contextReason: String
    /// Of so long a text, the tokens whose keys and values are in memory at once: the latest. The
    /// rest is on flash.
    package var hotTokens: Int
    /// How the KV cache keeps keys and values.
    package var keyValueFormat: KVFormat
    /// The limit for everything.
    package var memoryBytesMax: Int
    /// Requests that may be worked on at once.
    package var sequencesMax = 1
    package var capabilities: Set<Capability> = []
    /// How conversations become prompts, in Jinja: those without tools, and those with some where
    /// that is another one.
    package var chatTemplate: String?
    package var toolTemplate: String?
    /// The texts of the tokens with which texts begin and end; empty where there are none.
    package var beginning = ""
    package var end = ""
    /// When it goes if nobody uses it until then, in seconds since 1970; nil stays.
    package var leavesAt: Int64?

    package init(
        reads: Reads, readsReason: String? = nil, contextTokens: Int, contextReason: String,
        hotTokens: Int, keyValueFormat: KVFormat, memoryBytesMax: Int
    ) {
        self.reads = reads
        self.readsReason = readsReason
        self.contextTokens = contextTokens
        self.contextReason = contextReason
        self.hotTokens = hotTokens
        self.keyValueFormat = keyValueFormat
        self.memoryBytesMax = memoryBytesMax
    }
}

extension LoadedModel: CustomStringConvertible {
    package var description: String {
        let why = readsReason.map { " (\($0))" } ?? ""
        let memory = hotTokens < contextTokens ? ", \(hotTokens) of them in memory" : ""
        return "reads \(reads.rawValue)\(why), context \(contextTokens) tokens "
            + "(\(contextReason))\(memory), KV \(keyValueFormat) bits"
    }
}
