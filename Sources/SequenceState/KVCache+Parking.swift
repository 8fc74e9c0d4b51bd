// How a sequence begins with what is there already: a remembered prefix, or the last long sequence
// that ended, whose spans on flash no prefix can name. Of those one is kept, until its pages are
// needed.

internal import Compute
package import ModelFormat

/// A sequence that ended and may go on.
struct ParkedSequence {
    let id: SequenceID
    /// Whose keys and values it has.
    let tokens: [TokenID]
    let owner: PrefixOwner
}

extension KVCache {
    /// Begins a sequence that will hold at most `tokensMax`, with as much of `prompt` less its last
    /// token, whose logits are wanted, as is remembered.
    ///
    /// - Parameters:
    ///   - promised: tokens whose pages it is promised at first; more by
    ///     ``extend(_:tokensMax:)``. Nil is all, as where any of it may be on flash.
    ///   - slides: whether it goes on when it is full; then `prompt` may be longer.
    ///   - summarizes: whether it keeps what tells which of its pages on flash matter.
    ///   - staysInMemory: whether none of it may be on flash.
    ///   - owner: who finds their own alone; nil finds nothing.
    /// - Returns: nil when the pool cannot promise so many pages.
    package func begin(
        prompt: [TokenID], tokensMax: Int, promised: Int? = nil, slides: Bool = false,
        summarizes: Bool = false, staysInMemory: Bool = false, owner: PrefixOwner?
    ) -> (sequence: SequenceID, found: FoundPrefix)? {
        // What is parked is on flash; and what was computed from parts of a text alone is no prefix
        // for who reads all of it.
        if !slides, !staysInMemory, let owner, let parked,
            self.summarizes(parked.id) == summarizes,
            let adopted = adopt(prompt, tokensMax: tokensMax, owner: owner)
        {
            return adopted
        }
        func opened() -> SequenceID? {
            open(
                tokensMax: promised ?? tokensMax, slides: slides, summarizes: summarizes,
                staysInMemory: staysInMemory)
        }
        var own = opened()
        if own == nil, parked != nil {
            forgetParked()
            own = opened()
        }
        guard let sequence = own else { return nil }
        // What slides need not have room for all that is remembered.
        let prefix = slides ? Array(prompt.prefix(tokensMax)) : prompt
        let found = owner.map { resume(sequence, prompt: prefix, owner: $0) }
        return (sequence, found ?? FoundPrefix())
    }

    /// Keeps an ended sequence whose spans are on flash, in place of the one before.
    ///
    /// - Returns: false where it has none, or nothing is remembered: it is to be closed.
    func park(_ id: SequenceID, tokens: [TokenID], owner: PrefixOwner) -> Bool {
        guard prefixes != nil, state(id).isCold else { return false }
        forgetParked()
        parked = ParkedSequence(id: id, tokens: tokens, owner: owner)
        return true
    }

    /// Gives the pages of the sequence that ended last back, and its places on flash.
    func forgetParked() {
        guard let sequence = parked else { return }
        parked = nil
        close(sequence.id)
    }

    /// Goes on with the parked sequence where the prompt begins like it.
    private func adopt(
        _ prompt: [TokenID], tokensMax: Int, owner: PrefixOwner
    ) -> (sequence: SequenceID, found: FoundPrefix)? {
        guard let parked, prefixes?.isShared(parked.owner, with: owner) == true else { return nil }
        let usable = prompt.dropLast()
        let common = zip(usable, parked.tokens).prefix { $0 == $1 }.count
        let kept = usableTokens(common, of: parked)
        // What begins alike for a while only does not cost the rest of a long text.
        guard kept > 0, 2 * kept >= parked.tokens.count else { return nil }
        guard extend(parked.id, tokensMax: tokensMax) else { return nil }
        self.parked = nil
        for layer in layout.ringPages.indices {
            dropCold(parked.id, layer: layer, after: kept / KVLayout.spanTokens)
        }
        truncate(parked.id, to: kept)
        var found = FoundPrefix()
        found.tokenCount = kept
        found.source = .flash
        return (parked.id, found)
    }

    /// Of `common` tokens, those that the parked sequence can go on from: what is on flash is
    /// dropped in whole spans, and a page in codes is not opened again.
    private func usableTokens(_ common: Int, of parked: ParkedSequence) -> Int {
        guard common < parked.tokens.count else { return common }
        // A state does not go back.
        if layout.hasStates { return 0 }
        let cold = layout.ringPages.indices.map { coldSpanCount(parked.id, layer: $0) }.max() ?? 0
        if common < cold * KVLayout.spanTokens {
            // A window does not go back so far.
            let hasWindows = layout.ringPages.contains { $0 != nil }
            return hasWindows ? 0 : common / KVLayout.spanTokens * KVLayout.spanTokens
        }
        let pagesBack =
            (parked.tokens.count - 1) / KVLayout.pageTokens - common / KVLayout.pageTokens
        if layout.format.takesWholePages, pagesBack >= KVLayout.openPagesPerLayer - 1 {
            return windowsReach(common / KVLayout.pageTokens * KVLayout.pageTokens, of: parked)
        }
        return windowsReach(common, of: parked)
    }

    /// `tokens`, or none where a window has left behind what is seen from there.
    private func windowsReach(_ tokens: Int, of parked: ParkedSequence) -> Int {
        for layer in layout.ringPages.indices where layout.windows[layer] != nil {
            let first = layout.firstPageSeen(from: tokens, layer: layer)
            let end = (tokens + KVLayout.pageTokens - 1) / KVLayout.pageTokens
            let seen = first..<max(first, end)
            guard seen.allSatisfy({ state(parked.id).page($0, layer: layer) != nil }) else {
                return 0
            }
        }
        return tokens
    }
}
