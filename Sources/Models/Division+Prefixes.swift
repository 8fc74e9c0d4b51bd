// What prefixes take of a model's memory beside the KV pages that nobody else needs.

package import Knobs
internal import Memory
internal import ModelFormat
package import SequenceState
internal import Weights
internal import Weights

/// How prefixes are kept.
package struct PrefixPlan: Sendable {
    /// `flash` where the file's blocks have memory to pass through, else no more than `memory`.
    package let keeping: PrefixKeeping
    /// Memory that blocks of the file pass through.
    package let stagingBytes: Int
    package let bookBytes: Int
    package let identity: PrefixFileIdentity
    let fileBytesMax: UInt64

    /// Two blocks of the file on their way take at most this share of the limit.
    private static let shareDivisor = 32

    init(_ problem: DivisionProblem, _ choice: DivisionChoice, _ layout: KVLayout, poolBytes: Int) {
        let wishes = problem.wishes
        identity = PrefixFileIdentity(
            modelDigest: Digest256(hashing: Self.whatKeysFollowFrom(problem, choice)),
            kvFormat: "\(layout.format)", pageBytes: layout.pageBytes,
            layerCount: layout.ringPages.count)
        fileBytesMax = wishes.prefixFileBytesMax
        let (least, enough) = PrefixStore.stagingBytes(identity)
        let most = problem.share.limitBytes / Self.shareDivisor
        // A pool that hardly holds a block has none to keep.
        let holdsBlocks = poolBytes >= 2 * layout.pageBytes * layout.ringPages.count
        let isOnFlash = wishes.prefixes == .flash && least <= most && fileBytesMax > 0
        keeping =
            !holdsBlocks ? .off : isOnFlash ? .flash : wishes.prefixes == .off ? .off : .memory
        stagingBytes = keeping == .flash ? (enough <= most ? enough : least) : 0
        let store =
            keeping == .flash
            ? PrefixStoreOptions(
                path: "", identity: identity, bytesMax: fileBytesMax, flash: wishes.flash) : nil
        bookBytes =
            keeping == .off
            ? 0 : PrefixCache.bookBytes(layout, poolBytes: poolBytes, store: store)
    }

    func add(to budget: inout MemoryPlan) {
        budget.add(.prefixes, bookBytes)
        budget.add(.prefixesOnTheirWay, stagingBytes)
    }

    /// Everything that keys and values of a text depend on, beside the text and their format.
    private static func whatKeysFollowFrom(
        _ problem: DivisionProblem, _ choice: DivisionChoice
    ) -> String {
        let manifest = problem.manifest
        let sparse = choice.sparse.map { "\($0.mode)" } ?? "off"
        let silent = problem.wishes.activationSparsity.map { "\($0)" } ?? "none"
        return """
            1 \(manifest.source.digest) \(manifest.modelName) \(manifest.conversions) \
            \(manifest.neurons?.count ?? 0) \(manifest.shape) \(sparse) \(silent)
            """
    }
}
