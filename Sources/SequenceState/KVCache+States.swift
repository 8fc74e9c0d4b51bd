// States of sequences: what layers without keys and values know of a text. A state is of so many
// tokens, goes on from there alone, and is in no order while a pass computes.

internal import LinuxSystem

/// A sequence's state.
struct TextState {
    /// Of the pool of states.
    let page: PageID
    /// Tokens that it is of; nil while it is computed, and after a pass that failed.
    var tokenCount: Int?
}

extension KVCache {
    /// A state of no tokens; nil where all are in use.
    func takeState() -> TextState? {
        guard let page = freeState() else { return nil }
        let start = statePool.offset(of: page)
        statePool.arena.fill(start..<start + layout.states.byteCount, with: 0)
        return TextState(page: page, tokenCount: 0)
    }

    /// A place for a state: a free one, or the remembered one's that was not used for longest.
    private func freeState() -> PageID? {
        while true {
            if let page = statePool.take() { return page }
            guard prefixes?.forgetState() == true else { return nil }
        }
    }

    /// Says that a pass computes a sequence's tokens from `position` on.
    ///
    /// - Parameter kept: whether its state before the last of so many tokens is to be kept; nil
    ///   keeps none.
    /// - Returns: whether it will be.
    /// - Precondition: where layers have states, the sequence's is of the tokens before.
    package func beginStates(_ id: SequenceID, position: Int, keptAfter kept: Int?) -> Bool {
        let sequence = state(id)
        guard let tokens = sequence.state?.tokenCount else {
            precondition(!layout.hasStates, "a state that is of no tokens")
            return false
        }
        precondition(tokens == position + sequence.positionOffset, "a state of other tokens")
        sequence.state?.tokenCount = nil
        guard let kept, prefixes != nil else { return false }
        dropKeptState(of: sequence)
        guard let page = freeState() else { return false }
        sequence.keptState = TextState(page: page, tokenCount: tokens + kept)
        return true
    }

    /// Gives back the state that a sequence has besides its own.
    func dropKeptState(of sequence: SequenceState) {
        guard let state = sequence.keptState else { return }
        statePool.release(state.page)
        sequence.keptState = nil
    }

    /// Keeps a sequence's state of a layer as it is now: ``beginStates(_:position:keptAfter:)`` has
    /// made room.
    ///
    /// - Parameter byteCount: of the layer's state.
    package func keepState(_ id: SequenceID, layer: Int, byteCount: Int) {
        guard let kept = state(id).keptState, let offset = layout.states.offsets[layer] else {
            preconditionFailure("no room for a state")
        }
        statePool.arena.copy(
            byteCount: byteCount, from: stateOffset(id, layer: layer),
            to: statePool.offset(of: kept.page) + offset)
    }

    /// Says that the pass computed them, up to `position`.
    package func endStates(_ id: SequenceID, position: Int) {
        let sequence = state(id)
        sequence.state?.tokenCount = position + sequence.positionOffset
    }

    /// Where a sequence's state of a layer of the model begins in the pool's arena.
    package func stateOffset(_ id: SequenceID, layer: Int) -> Int {
        guard let state = state(id).state, let offset = layout.states.offsets[layer] else {
            preconditionFailure("a layer without a state")
        }
        return statePool.offset(of: state.page) + offset
    }
}
