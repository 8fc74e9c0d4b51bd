// What a profile says about running models.

internal import FlashStorage
package import Knobs
internal import LinuxSystem
package import Memory
internal import ModelFormat

extension ModelOptions {
    /// What a profile says about running models.
    package init(_ profile: Profile) {
        self.init()
        memoryBytesMax = profile.memory.budgetBytes.map { Int(clamping: $0) }
        if let threads = profile.compute.threads { self.threads = threads }
        contextTokensWanted = profile.generation.contextTokens
        sparse = profile.weights.sparse.mode
        activationSparsity = profile.weights.activationSparsity
        qualityLossMax = Double(profile.weights.qualityLossMax)
        kvFormat = profile.keyValues.format
        kvBytesMax = profile.keyValues.memoryBytesMax.map { Int(clamping: $0) }
        coldTokensMax = profile.keyValues.coldTokensMax
        coldFileBytesMax = profile.keyValues.coldBytesMax
        whenFull = profile.keyValues.whenFull
        snapTokens = profile.keyValues.snapTokens
        gemTokens = profile.keyValues.gemTokens
        gemDepth = profile.keyValues.gemDepth
        verification = profile.flash.verify
        prefillChunkTokens = profile.generation.prefillChunkTokens
        speculation = profile.generation.speculation
        pooling = profile.generation.pooling
        if let depth = profile.flash.queueDepth { flash.queueDepth = depth }
        if let bytes = profile.flash.readBytesMin { flash.readBytesMin = Int(clamping: bytes) }
        if let bytes = profile.flash.gapBytesMax { flash.gapBytesMax = Int(clamping: bytes) }
        if let bytes = profile.flash.readBytesMax {
            flash.pieceBytesMax = Int(clamping: bytes)
        }
        flash.prefetchesMax = profile.flash.prefetchesMax
        flash.stallNanosecondsMax = UInt64(profile.flash.readSecondsMax) * 1_000_000_000
        flash.reader = profile.flash.reader
        modelKeys = ModelKeySource(path: profile.flash.modelKeys)
    }
}

extension ModelOptions {
    /// Remembers prefixes as a profile says: what a service does, and no command that measures.
    package mutating func keepPrefixes(as profile: Profile.KeyValues) {
        prefixes = profile.prefixes
        prefixSharing = profile.prefixSharing
        prefixFileBytesMax = profile.flashBytesMax
    }

    /// Takes what the service keeps for its clients out of the budget.
    package mutating func keepMemoryForClients() {
        let budget = ConnectionBudget(
            memoryBytes: memoryBytesMax.map { UInt64($0) },
            limitBytes: MemoryLimits.smallestBytes())
        connectionBytes = budget.byteCount
        holdsAnswers = true
    }

    /// Opens the ledger of this process, from which the models opened with these options take
    /// their memory.
    package mutating func openLedger() -> MemoryLedger {
        let limit = memoryBytesMax ?? MemoryLedger.unlimitedBytes
        let opened = MemoryLedger(
            limitBytes: isResident ? MemoryLedger.unlimitedBytes : limit,
            connectionBytes: connectionBytes)
        ledger = opened
        return opened
    }
}
