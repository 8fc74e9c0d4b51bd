// What is wanted of a prompt: an answer to it, or something about the prompt itself.

package import ModelFormat

extension GenerationOrder {
    /// What an order is for.
    package enum Wanted: Sendable, Equatable {
        /// An answer to the prompt.
        case answer
        /// The text of a chat's prompt.
        case prompt
        /// The tokens of a text, or of a chat's prompt.
        case tokens(TokenizingRules)
        /// One vector for a text.
        case embedding(EmbeddingRules)
        /// The text of tokens, with those that are not shown in answers.
        case text
        /// That the model goes when nobody uses it any more; nothing is loaded.
        case unloading
    }

    /// The request's field that the prompt came from.
    package var parameter: String {
        switch wanted {
        case .tokens: if case .chat = prompt { prompt.parameter } else { "content" }
        case .embedding(let rules): rules.parameter
        case .text: "tokens"
        case .answer, .prompt, .unloading: prompt.parameter
        }
    }
}

/// How a text becomes tokens when these are what is wanted.
package struct TokenizingRules: Sendable, Equatable {
    /// Adds the tokens that the model expects around a text.
    package var addsSpecial = false
    /// Texts of control tokens become those tokens.
    package var parsesSpecial = false
    /// Each token comes with the bytes that it stands for.
    package var includesPieces = false

    package init() {}
}

/// How a text becomes a vector where that is wanted.
package struct EmbeddingRules: Sendable, Equatable {
    /// Numbers of the longest vector that is asked for.
    package static let dimensionsMax = 1 << 20

    /// The request's field that the text came from.
    package var parameter: String
    /// Whether what of a text does not fit the context is left out; else it is refused.
    package var truncates = false
    /// Only so many of the vector's first numbers; nil is all.
    package var dimensions: Int?

    package init(parameter: String) { self.parameter = parameter }
}

/// The tokens of a text.
package struct TokenizedText: Sendable, Equatable {
    package var tokens: [TokenID]
    /// What each token stands for, one after the other; nil where that is not wanted.
    private var pieces: (bytes: [UInt8], ends: [Int32])?

    package init(_ tokens: [TokenID]) { self.tokens = tokens }

    /// With what each token stands for.
    package init(_ tokens: [TokenID], bytes: (TokenID, inout [UInt8]) -> Void) {
        self.tokens = tokens
        var pieces: (bytes: [UInt8], ends: [Int32]) = ([], [])
        pieces.ends.reserveCapacity(tokens.count)
        for token in tokens {
            bytes(token, &pieces.bytes)
            pieces.ends.append(Int32(clamping: pieces.bytes.count))
        }
        self.pieces = pieces
    }

    package static func == (left: TokenizedText, right: TokenizedText) -> Bool {
        left.tokens == right.tokens && left.pieces?.bytes == right.pieces?.bytes
            && left.pieces?.ends == right.pieces?.ends
    }

    package var hasPieces: Bool { pieces != nil }

    /// Bytes of all pieces together.
    package var pieceByteCount: Int { pieces?.bytes.count ?? 0 }

    /// What the token at `index` stands for, which may be part of a character.
    package func piece(_ index: Int) -> ArraySlice<UInt8> {
        guard let pieces else { return [] }
        let start = index == 0 ? 0 : Int(pieces.ends[index - 1])
        return pieces.bytes[start..<Int(pieces.ends[index])]
    }
}
