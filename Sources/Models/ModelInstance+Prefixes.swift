// What is remembered of prompts, and the file that keeps it beside the model.

internal import FlashStorage
internal import Knobs
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension ModelInstance {
    /// Makes the file that what outgrows the KV pages goes to, where any may.
    func keepColdSpans() throws(SystemError) {
        guard division.layout.hasColdSpans else { return }
        var flash = options.flash
        flash.tuner = nil
        try cache.keepCold(
            ColdFileOptions(
                path: path + ".cold", bytesMax: options.coldFileBytesMax,
                checksEveryRead: options.verification == .always, flash: flash))
    }

    /// Opens what is kept, as it was divided.
    func keepPrefixes(_ memory: consuming MemoryReservation) {
        let plan = division.prefixes
        guard plan.keeping != .off else { return }
        var opened: (store: PrefixStore, blocks: [StoredBlock])?
        if plan.keeping == .flash {
            var flash = options.flash
            flash.tuner = nil
            let file = PrefixStoreOptions(
                path: PrefixCache.path(of: path),
                identity: PrefixFileIdentity(
                    division.layout, modelDigest: Digest256(hashing: prefixSource)),
                bytesMax: plan.fileBytesMax, flash: flash)
            opened = PrefixStore.open(file, staging: memory, onNotice: options.onNotice)
        }
        cache.prefixes = PrefixCache(
            of: cache, isSharedAmongUsers: options.prefixSharing == .all,
            store: opened?.store, blocks: opened?.blocks ?? [])
    }

    /// What keys and values follow from, beside a text and their format: the model, and the
    /// arithmetic of this program, whose number grows when its results change.
    private var prefixSource: String {
        let isLong = manifest.shape.isLong(division.contextTokens) ?? false
        return "arithmetic 1, \(parsed.model.identity)" + (isLong ? ", long contexts" : "")
    }

    /// Positions that a sequence can have in the format in use.
    package var contextTokensNow: Int {
        cache.layout.tokenCount(
            bytesMax: division.cacheBytes, tokensMax: division.contextTokens)
    }
}
