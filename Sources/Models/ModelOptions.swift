// How a model is opened: what is wished for, and how its file is read. What is decided of it is not
// here: that is a Division's.

internal import Compute
package import FlashStorage
package import GenerationAPI
package import Knobs
internal import LinuxSystem
package import Memory
package import ModelFormat
package import Weights

/// How a model is opened.
package struct ModelOptions: Sendable {
    // MARK: Wishes

    /// Bytes for everything; nil is what the machine and the cgroups allow.
    package var memoryBytesMax: Int?
    /// Of those, what the model itself may have, beside the process, its clients and other models;
    /// nil is all that these leave.
    package var shareBytesMax: Int?
    /// Everything in memory, and no limit.
    package var isResident = false
    /// Positions of the KV cache, neither more nor less.
    package var contextTokens: Int?
    /// Positions that are wished for: as many of them as the model has and memory allows. Without
    /// either, what memory has left.
    package var contextTokensWanted: Int?
    /// Where there is no limit, nobody needs more to measure.
    static let contextTokensResident = 4096
    package var threads: Int
    /// Texts that may be worked on at once; nil is as many as cost little of the memory.
    package var sequencesMax: Int? = 1
    /// How keys and values are kept: 32-bit floats are exact, all else rounds.
    package var kvFormat = KVFormat(.half)
    /// Bytes for keys and values, at most: what longer sequences have beyond goes to flash. Nil
    /// keeps all in memory.
    package var kvBytesMax: Int?
    /// Of what such sequences have there, the tokens that each token of an answer reads in a layer;
    /// nil reads all, for the same as in memory.
    package var coldTokensMax: Int?
    /// Most bytes of such sequences on flash.
    package var coldFileBytesMax: UInt64 = 16 << 30
    /// What happens when the context is full.
    package var whenFull = FullContext.stop
    /// Tokens that are kept of a longer prompt, besides its last ones; nil keeps all.
    package var snapTokens: Int?
    /// Tokens that are computed of a longer prompt; nil computes all.
    package var gemTokens: Int?
    /// How far up the layers is the one that says which.
    package var gemDepth: Float = 0.40625
    /// Tokens of a prompt that are computed together, at most; less when memory is short.
    package var prefillChunkTokens = 512
    /// Tokens of a step whose logits are wanted, at most.
    package var logitsRowsMax = 1
    package var speculation = SpeculationPolicy.off
    /// How texts become vectors; nil is as the model's file says.
    package var pooling: Pooling?
    /// Which neurons of a model whose neurons are bundled are read; nil is what promises to take
    /// least time, of what ``qualityLossMax`` allows.
    package var sparse: SparseMode?
    /// By what share perplexity may be higher, as calibration states it, where nobody asked for
    /// something lossy by name; 0 allows exact ways alone.
    package var qualityLossMax = 0.0
    /// The share of neurons that count as silent, the weakest of each layer (lossy); nil is none.
    package var activationSparsity: Float?
    /// Bytes for connections and their buffers, where ``ledger`` does not know.
    package var connectionBytes = 0
    /// Memory for what answers may be held to, where there is any.
    package var holdsAnswers = false

    // MARK: Measuring

    package var measuring = MeasuringSwitches()

    // MARK: Opening

    /// The process's, where it has one; else every model that is opened has its own.
    package var ledger: MemoryLedger?
    package var flash = FlashOptions()
    /// Where the model's key is, should it be encrypted.
    package var modelKeys = ModelKeySource.standard
    package var verification = VerificationPolicy.first
    package var cacheRules = CacheRules.standard
    /// Warm the experts that were popular in earlier runs, and save which ones are in this.
    package var keepsPopularity = false
    /// Remember what prompts begin with, and where.
    package var prefixes = PrefixKeeping.off
    package var prefixSharing = PrefixSharing.user
    /// Most bytes of the model's file of prefixes.
    package var prefixFileBytesMax: UInt64 = 1 << 30
    /// Told in one line what is worth knowing and no error.
    package var onNotice: @Sendable (String) -> Void = { _ in }

    package init() { threads = max(1, Processors.allowed.count) }
}

/// What only measurements ask for.
package struct MeasuringSwitches: Sendable {
    /// Whether more positions than the model learned may be asked for: to measure computing alone.
    package var mayExceedContext = false
    /// Whether a sequence that slides keeps its first page.
    package var keepsSinks = true
    /// How neurons are fetched: see `SparseOptions`.
    package var keepsNeuronWindows = true
    package var readsNeuronsApart = false
    /// States of texts that are kept beside the one that is open; nil is as memory allows.
    package var statesKept: Int?
}

extension ModelOptions {
    /// Whether neurons may be predicted, and those that are not be left out.
    package var mayPredict: Bool {
        !isResident && (sparse == .predicted || sparse == nil && qualityLossMax > 0)
    }

    /// Contexts that a prompt may be long where it slides: memory for its text is set aside.
    static let slidingPromptContexts = 4

    /// The longest prompt that there is memory for.
    func promptTokensMax(contextTokens: Int) -> Int {
        whenFull == .slide ? Self.slidingPromptContexts * contextTokens : contextTokens
    }

    /// The same where nobody else has memory, whoever has.
    package var asIfAlone: ModelOptions {
        var options = self
        options.ledger = nil
        return options
    }

    /// Memory for models, whoever has it.
    package var wholeShareBytes: Int { ledger?.wholeShare.leftBytes ?? asIfAlone.share().leftBytes }

    /// What a model that is opened now may divide: the limit, and of it what the process and its
    /// clients have.
    func share() -> MemoryPlan {
        let limit =
            isResident
            ? MemoryLedger.unlimitedBytes
            : min(
                memoryBytesMax ?? MemoryLimits.availableBytes(), MemoryLimits.smallestBytes())
        let books = ledger ?? MemoryLedger(limitBytes: limit, connectionBytes: connectionBytes)
        // Where nobody set it, it is what there is now.
        books.limitBytes = limit
        var share = books.share
        if let shareBytesMax {
            share.limitBytes = min(share.limitBytes, share.sumBytes + shareBytesMax)
        }
        return share
    }
}
