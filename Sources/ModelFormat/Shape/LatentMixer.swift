// Attention over compressed rows: of each position there is one, which is key and value of all
// heads.

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), in its absorbed form: a head's
/// queries are projected to where the rows are, and what it sums of rows to where values are.
package struct LatentMixer: Sendable, Codable, Equatable {
    package var headCount: Int
    /// Width that queries are compressed to first; nil where they are projected directly.
    package var queryRank: Int?
    /// Width of a position's row that is key and value.
    package var keyValueRank: Int
    /// Width of the part of a head's query that meets such rows, before it is projected to them.
    package var plainHeadWidth: Int
    /// Width of the part of a query, and of a position's row, that turns with the position.
    package var turnedHeadWidth: Int
    /// Width of a head's values.
    package var valueHeadWidth: Int
    package var rope: RotaryEmbedding?
    /// Factor on scores.
    package var scale: Float
    /// Whether a sigmoid of the input multiplies each head's values (Ling 3); nil is no.
    package var gatesHeads: Bool?

    package init(
        headCount: Int, queryRank: Int?, keyValueRank: Int, plainHeadWidth: Int,
        turnedHeadWidth: Int, valueHeadWidth: Int, rope: RotaryEmbedding?, scale: Float
    ) {
        self.headCount = headCount
        self.queryRank = queryRank
        self.keyValueRank = keyValueRank
        self.plainHeadWidth = plainHeadWidth
        self.turnedHeadWidth = turnedHeadWidth
        self.valueHeadWidth = valueHeadWidth
        self.rope = rope
        self.scale = scale
    }

    /// What the KV cache and attention see: one head of keys that turn, and of values, which are
    /// keys too.
    package var attention: AttentionMixer {
        var mixer = AttentionMixer(
            headCount: headCount, keyValueHeadCount: 1, keyHeadWidth: turnedHeadWidth,
            valueHeadWidth: keyValueRank, rope: rope)
        mixer.scale = scale
        if gatesHeads == true { mixer.outputGate = .sigmoidOfHeads }
        return mixer
    }

    /// Width of all heads' values.
    package var valueWidth: Int { headCount * valueHeadWidth }
}
