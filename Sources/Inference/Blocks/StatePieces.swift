// How layers with a state go through a wave: sequence by sequence, and where a state is to be kept,
// up to there first.

internal import SequenceState

extension KVCache {
    /// Lets `mix` compute each sequence's tokens of a wave, given their rows and where the
    /// sequence's state of the layer begins in the pool's arena; keeps states where chunks say so.
    ///
    /// - Parameter stateBytes: of the layer's state.
    func mixStates(
        of wave: Wave, layer: Int, stateBytes: Int, _ mix: (Range<Int>, Int) -> Void
    ) {
        var first = 0
        for chunk in wave.chunks {
            let state = stateOffset(chunk.sequence, layer: layer)
            for piece in chunk.statePieces {
                mix(first + piece.tokens.lowerBound..<first + piece.tokens.upperBound, state)
                if piece.isKept {
                    keepState(chunk.sequence, layer: layer, byteCount: stateBytes)
                }
            }
            first += chunk.tokens.count
        }
    }
}
