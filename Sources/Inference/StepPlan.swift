// What one forward pass computes: the decodes of several sequences and chunks of prompts, together;
// and the waves in which each layer computes them.

package import ModelFormat
package import SequenceState

/// Tokens of one sequence that are computed together, at consecutive positions.
package struct SequenceChunk: Sendable, Equatable {
    package enum Logits: Sendable, Equatable {
        /// Not needed: a prompt's inner chunk.
        case none
        /// For the last token: sampling.
        case last
        /// For every token: scoring.
        case all
    }

    package var sequence: SequenceID
    package var tokens: [TokenID]
    /// The first one's place in the sequence's page tables; where nothing was given up before it,
    /// its position too.
    package var firstPosition: Int
    package var logits: Logits
    /// Of the sequence's pages on flash, those that each token reads in a layer at most; nil reads
    /// all, for the same as in memory.
    package var coldPagesMax: Int?
    /// Places that are left of all tokens so far when these, a prompt's last, are computed; nil
    /// keeps all.
    package var keptTokens: Int?
    /// What tells which tokens are computed at all; nil computes all.
    package var filter: PromptFilter?
    /// Whether the sequence's state before the last token is kept, where layers have states.
    package var keepsState = false

    package init(
        sequence: SequenceID, tokens: [TokenID], firstPosition: Int, logits: Logits,
        coldPagesMax: Int? = nil
    ) {
        self.sequence = sequence
        self.tokens = tokens
        self.firstPosition = firstPosition
        self.logits = logits
        self.coldPagesMax = coldPagesMax
    }

    /// Rows of logits that it asks for.
    package var logitsRowCount: Int {
        switch logits {
        case .none: 0
        case .last: 1
        case .all: tokens.count
        }
    }
}

/// The first pass over a prompt of which some tokens alone are computed in a second one.
package struct PromptFilter: Sendable, Equatable {
    /// The last layer that is computed: there it is seen what the prompt's last token looks at.
    package var layer: Int
    /// Tokens that are chosen when the prompt's last ones are computed, the last one included; nil
    /// before.
    package var chosenCount: Int?

    package init(layer: Int, chosenCount: Int? = nil) {
        self.layer = layer
        self.chosenCount = chosenCount
    }
}

/// One step of the engine: any number of sequences' chunks.
package struct StepPlan: Sendable, Equatable {
    package var chunks: [SequenceChunk]

    package init(chunks: [SequenceChunk]) { self.chunks = chunks }

    package var tokenCount: Int { chunks.reduce(0) { $0 + $1.tokens.count } }
    package var logitsRowCount: Int { chunks.reduce(0) { $0 + $1.logitsRowCount } }
    /// The layer with which it ends; nil is the model's last.
    var lastLayer: Int? { chunks.first?.filter?.layer }
}

/// Part of a step: tokens that are computed together in each layer.
struct Wave: Sendable, Equatable {
    var chunks: [SequenceChunk] = []
    /// Where the wave's tokens are among all of the step's.
    var rows: Range<Int>

    var tokenCount: Int { rows.count }
    var tokens: [TokenID] { chunks.flatMap(\.tokens) }
}

extension StepPlan {
    /// The step in waves of at most `tokensMax` tokens; its chunks are cut where waves end.
    func waves(tokensMax: Int) -> [Wave] {
        var waves: [Wave] = []
        var wave = Wave(rows: 0..<0)
        for var rest in chunks {
            while !rest.tokens.isEmpty {
                let room = tokensMax - wave.tokenCount
                let count = rest.count(inRoomFor: room, tokensMax)
                if count == 0 {
                    waves.append(wave)
                    wave = Wave(rows: wave.rows.upperBound..<wave.rows.upperBound)
                    continue
                }
                var piece = rest
                piece.tokens = Array(rest.tokens.prefix(count))
                rest.tokens.removeFirst(count)
                if !rest.tokens.isEmpty {
                    piece.keptTokens = nil
                    piece.keepsState = false
                    piece.filter?.chosenCount = nil
                }
                rest.firstPosition += count
                wave.chunks.append(piece)
                wave.rows = wave.rows.lowerBound..<wave.rows.upperBound + count
                guard wave.tokenCount == tokensMax else { continue }
                waves.append(wave)
                wave = Wave(rows: wave.rows.upperBound..<wave.rows.upperBound)
            }
        }
        if wave.tokenCount > 0 { waves.append(wave) }
        return waves
    }
}

extension SequenceChunk {
    /// Its tokens in the pieces after which states are kept, or that follow them: all in one, or
    /// the last one apart.
    var statePieces: [(tokens: Range<Int>, isKept: Bool)] {
        let end = tokens.count
        return keepsState ? [(0..<end - 1, true), (end - 1..<end, false)] : [(0..<end, false)]
    }

    /// Tokens of it that go where `room` is left of `tokensMax`: those at a prompt's end that say
    /// what is kept of it go together.
    fileprivate func count(inRoomFor room: Int, _ tokensMax: Int) -> Int {
        guard keptTokens != nil, tokens.count > room else { return min(tokens.count, room) }
        return min(room, max(0, tokens.count - min(PromptSelection.queryTokens, tokensMax)))
    }
}
