// A vocabulary as data: what a tokenizer is built from. Read from GGUF metadata or from a packed
// file's vocabulary extent. Strings stay raw bytes in flat tables: 150,000 tokens take a few
// megabytes, not a few dozen.

/// Many byte strings in one allocation. String `i` is `bytes[end(i - 1)..<end(i)]`.
package struct StringTable: Sendable, Equatable {
    package private(set) var bytes: [UInt8] = []
    package private(set) var ends: [UInt32] = []

    package init() {}

    package init(_ strings: some Sequence<some Sequence<UInt8>>) {
        for string in strings { append(string) }
    }

    package var count: Int { ends.count }

    package mutating func reserve(strings: Int, bytes byteCount: Int) {
        ends.reserveCapacity(strings)
        bytes.reserveCapacity(byteCount)
    }

    package mutating func append(_ string: some Sequence<UInt8>) {
        bytes.append(contentsOf: string)
        precondition(bytes.count <= UInt32.max, "callers bound the table's size")
        ends.append(UInt32(bytes.count))
    }

    package func range(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index])
    }

    package subscript(index: Int) -> ArraySlice<UInt8> { bytes[range(index)] }
}

/// GGUF's `tokenizer.ggml.token_type` values.
package enum TokenKind: UInt8, Sendable {
    case undefined = 0
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
}

package struct Vocabulary: Sendable, Equatable {
    /// GGUF's `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece, `gemma4`
    /// is BPE on characters.
    package enum Model: String, Sendable, Codable {
        case bytePairEncoding = "gpt2", sentencePiece = "llama"
        case characterPairEncoding = "gemma4"
    }

    package var model: Model
    /// GGUF's `tokenizer.ggml.pre`, or nil where the file names none.
    package var preTokenizer: String?
    package var tokens = StringTable()
    /// One per token, or empty where the file has none (then every token is `normal`).
    package var kinds: [TokenKind] = []
    /// One per token; SentencePiece only.
    package var scores: [Float] = []
    /// `left right` pairs in rank order; BPE only.
    package var merges = StringTable()
    package var special = SpecialTokens()
    package var templates = ChatTemplateSources()

    package init(model: Model) { self.model = model }
}

/// Tokens with a role, and what the model expects around a text.
package struct SpecialTokens: Sendable, Equatable {
    package var beginning: TokenID?
    package var end: TokenID?
    /// End of a chat turn (`tokenizer.ggml.eot_token_id`).
    package var endOfTurn: TokenID?
    /// Further tokens that end what a model says, where the file lists several.
    package var moreEndings: [TokenID] = []
    /// Tokens that a model never says (`tokenizer.ggml.suppress_tokens`), in order.
    package var suppressed: [TokenID] = []
    package var unknown: TokenID?
    package var padding: TokenID?
    /// `add_bos_token`, `add_eos_token`, `add_space_prefix`; nil where the file does not say.
    package var addsBeginning: Bool?
    package var addsEnd: Bool?
    package var addsSpacePrefix: Bool?

    /// Tokens that a file may list for one role.
    static let roleTokensMax = 64
    /// Tokens that a file may suppress.
    static let suppressedMax = 4096

    package init() {}
}
