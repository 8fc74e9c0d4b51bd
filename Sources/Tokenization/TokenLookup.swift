// From texts to tokens and back, for a whole vocabulary.

internal import ModelFormat

/// A vocabulary's texts, their kinds, and an index over them.
struct TokenLookup: Sendable {
    private let table: TextTable
    /// One per token, after well-known texts were made control tokens.
    let kinds: [TokenKind]

    /// - Throws: `TokenizerError` for a vocabulary whose lists do not fit together.
    init(_ vocabulary: Vocabulary) throws(TokenizerError) {
        let count = vocabulary.tokens.count
        guard count > 0, count < Int32.max else { throw .tokenCount(count) }
        var kinds = vocabulary.kinds
        if kinds.isEmpty { kinds = [TokenKind](repeating: .normal, count: count) }
        guard kinds.count == count else {
            throw .listLength(name: "token types", count: kinds.count, tokens: count)
        }
        let scores = vocabulary.scores.count
        guard scores == 0 || scores == count else {
            throw .listLength(name: "scores", count: scores, tokens: count)
        }
        table = TextTable(vocabulary.tokens)
        for index in 0..<count where kinds[index] == .byte {
            let text = vocabulary.tokens[index]
            if ByteToken.byte(text) == nil {
                throw .malformedByteToken(
                    index: index, text: String(decoding: text, as: UTF8.self))
            }
        }
        for text in WellKnownTokens.controls {
            if let token = table.find(Array(text.utf8)) { kinds[token] = .control }
        }
        // Gemma 4's vocabulary has a tag of HTML by this text.
        if table.find(Array("<|tool_response>".utf8)) != nil,
            let token = table.find(Array("</s>".utf8))
        {
            kinds[token] = .normal
        }
        self.kinds = kinds
    }

    var count: Int { kinds.count }
    var texts: StringTable { table.texts }
    var longestBytes: Int { table.longestBytes }

    var residentBytes: Int { table.residentBytes + texts.residentBytes + kinds.count }

    /// The token with this text, of any kind.
    func anyToken(_ text: [UInt8]) -> Int32? { table.find(text).map { Int32($0) } }

    /// The token with the text `bytes[range]` that plain text may become: control, unknown and byte
    /// tokens are not, so that text cannot smuggle them in.
    func plainToken(_ bytes: [UInt8], _ range: Range<Int>) -> Int32? {
        guard let token = table.find(bytes, range) else { return nil }
        switch kinds[token] {
        case .control, .unknown, .byte: return nil
        case .normal, .userDefined, .unused, .undefined: return Int32(token)
        }
    }
}

extension StringTable {
    var residentBytes: Int { bytes.count + ends.count * 4 }
}

/// Tokens known by their texts, because files rarely say what they are for (llama.cpp's lists).
enum WellKnownTokens {
    /// Tokens that end what a model says.
    static let endOfGeneration = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
        "<|end_of_text|>", "<end_of_utterance>", "<eos>",
        "<turn|>", "<|tool_response>", "<|flush|>", "<|calls|>", "[e~[",
        "<\u{FF5C}end\u{2581}of\u{2581}sentence\u{FF5C}>",
        // Ends of a file or a repository in code completion.
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>",
        "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"
    ]

    /// Where all tokens of a group are there, "<|end|>" ends a message, not what a model says.
    static let endsOfMore = [["<|return|>", "<|call|>"], ["<|calls|>", "<|flush|>"]]
    static let endOfMessage = "<|end|>"

    /// Tokens that are control tokens whatever kind the file gives them.
    static let controls =
        endOfGeneration + [
            "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<|fim_suffix|>", "<fim-suffix>",
            "<fim_suffix>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>"
        ]
}
