// What one forward pass computes: the decodes of several sequences and chunks of prompts, together.

package import ModelFormat

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
    package var firstPosition: Int
    package var logits: Logits

    package init(
        sequence: SequenceID, tokens: [TokenID], firstPosition: Int, logits: Logits
    ) {
        self.sequence = sequence
        self.tokens = tokens
        self.firstPosition = firstPosition
        self.logits = logits
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

/// One step of the engine: any number of sequences' chunks.
package struct StepPlan: Sendable, Equatable {
    package var chunks: [SequenceChunk]

    package init(chunks: [SequenceChunk]) { self.chunks = chunks }

    package var tokenCount: Int { chunks.reduce(0) { $0 + $1.tokens.count } }
    package var logitsRowCount: Int { chunks.reduce(0) { $0 + $1.logitsRowCount } }
}
