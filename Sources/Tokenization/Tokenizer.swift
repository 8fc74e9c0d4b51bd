// From text to token ids and back. Owns a vocabulary's tables; holds no state between calls, so one
// tokenizer serves every session.

package import ModelFormat

/// A piece of a prompt: text of the chat template, where control tokens are meant, or text from
/// outside, where they are only text.
package struct PromptSegment: Sendable, Equatable {
    /// A part of what came from outside costs no copy.
    package var text: Substring
    package var isTemplate: Bool

    package init(_ text: Substring, isTemplate: Bool) {
        self.text = text
        self.isTemplate = isTemplate
    }

    package init(_ text: String, isTemplate: Bool) {
        self.init(text[...], isTemplate: isTemplate)
    }
}

/// The tokenizer that a vocabulary describes: BPE, on bytes or characters, or SentencePiece. Ids
/// are llama.cpp's.
///
/// Texts are expected to be shorter than 1 GiB. `TokenStream` says what encoding takes; time grows
/// as n log n.
package struct Tokenizer: Sendable {
    private enum Model: Sendable {
        case bytePair(BytePairEncoder)
        case sentencePiece(SentencePieceEncoder)
    }

    private let model: Model
    private let tokens: TokenLookup
    let specialTokens: SpecialTokenMatcher
    private let endings: Set<TokenID>
    private let addsSpacePrefix: Bool

    /// The vocabulary's special tokens, with SentencePiece's customary ones (beginning 1, end 2,
    /// unknown 0) where the file names none, and without ids that are no token.
    package let vocabularySpecial: SpecialTokens

    /// - Throws: `TokenizerError`, where the vocabulary is not sound or not known.
    package init(_ vocabulary: Vocabulary) throws(TokenizerError) {
        let tokens = try TokenLookup(vocabulary)
        var special = Self.specialTokens(vocabulary)
        switch vocabulary.model {
        case .bytePairEncoding, .characterPairEncoding:
            let encoder = try BytePairEncoder(vocabulary, tokens: tokens)
            model = .bytePair(encoder)
            special.addsBeginning =
                encoder.alwaysAddsBeginning
                ? true
                : special.addsBeginning ?? (encoder.addsBeginning && special.beginning != nil)
            special.addsSpacePrefix = false
        case .sentencePiece:
            model = .sentencePiece(
                SentencePieceEncoder(vocabulary, tokens: tokens, unknown: special.unknown))
            special.addsBeginning = special.addsBeginning ?? (special.beginning != nil)
            special.addsSpacePrefix = special.addsSpacePrefix ?? true
        }
        special.addsEnd = special.addsEnd ?? false
        if special.addsBeginning == true, special.beginning == nil {
            throw .missingSpecialToken(flag: "add_bos_token", token: "bos_token_id")
        }
        if special.addsEnd == true, special.end == nil {
            throw .missingSpecialToken(flag: "add_eos_token", token: "eos_token_id")
        }
        self.tokens = tokens
        vocabularySpecial = special
        addsSpacePrefix = special.addsSpacePrefix == true
        specialTokens = SpecialTokenMatcher(texts: tokens.texts, kinds: tokens.kinds)
        var endings = Set(
            [special.end, special.endOfTurn].compactMap(\.self) + special.moreEndings)
        for text in WellKnownTokens.endOfGeneration {
            if let token = tokens.anyToken(Array(text.utf8)), tokens.kinds[Int(token)] == .control {
                endings.insert(TokenID(rawValue: token))
            }
        }
        func find(_ text: String) -> TokenID? {
            tokens.anyToken(Array(text.utf8)).map { TokenID(rawValue: $0) }
        }
        if WellKnownTokens.endsOfMore.contains(where: { $0.allSatisfy { find($0) != nil } }),
            let end = find(WellKnownTokens.endOfMessage)
        {
            endings.remove(end)
        }
        self.endings = endings
    }

    private static func specialTokens(_ vocabulary: Vocabulary) -> SpecialTokens {
        let count = vocabulary.tokens.count
        func known(_ token: TokenID?, else usual: Int?) -> TokenID? {
            if let token, token.rawValue >= 0, token.index < count { return token }
            guard vocabulary.model == .sentencePiece, let usual, usual < count else { return nil }
            return TokenID(usual)
        }
        var special = vocabulary.special
        special.beginning = known(special.beginning, else: 1)
        special.end = known(special.end, else: 2)
        special.unknown = known(special.unknown, else: 0)
        special.endOfTurn = known(special.endOfTurn, else: nil)
        special.padding = known(special.padding, else: nil)
        return special
    }

    package var tokenCount: Int { tokens.count }

    /// Bytes of all tokens' texts: what they stand for has no more.
    package var textBytes: Int { tokens.texts.bytes.count }

    /// Bytes that this tokenizer's tables keep in memory, the vocabulary's texts included.
    package var residentBytes: Int {
        let shared = tokens.residentBytes + specialTokens.residentBytes
        switch model {
        case .bytePair(let encoder): return shared + encoder.residentBytes
        case .sentencePiece(let encoder): return shared + encoder.residentBytes
        }
    }

    /// Tokens that are never chosen, ascending.
    ///
    /// - Parameter includingEnds: whether those that end an answer are among them.
    package func suppressed(includingEnds: Bool) -> [TokenID] {
        let silent = vocabularySpecial.suppressed
        return includingEnds
            ? endings.union(silent).sorted { $0.rawValue < $1.rawValue } : silent
    }

    /// Whether generation ends at this token.
    package func isEndOfGeneration(_ token: TokenID) -> Bool { endings.contains(token) }

    /// The token with exactly this text, of any kind.
    package func token(_ text: String) -> TokenID? {
        tokens.anyToken(Array(text.utf8)).map { TokenID(rawValue: $0) }
    }
}

// MARK: - Encoding

extension Tokenizer {
    /// The tokens of `text`.
    ///
    /// - Parameters:
    ///   - addSpecial: Adds the beginning and end tokens that the vocabulary asks for.
    ///   - parseSpecial: Whether the texts of control tokens become those tokens. User-defined
    ///     tokens always do.
    package func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [TokenID] {
        encode(utf8: Array(text.utf8), addSpecial: addSpecial, parseSpecial: parseSpecial)
    }

    /// The tokens of any bytes. What is not UTF-8 is kept by SentencePiece and becomes U+FFFD in
    /// byte-level BPE, as in llama.cpp.
    package func encode(
        utf8 bytes: [UInt8], addSpecial: Bool, parseSpecial: Bool
    ) -> [TokenID] {
        encode(addSpecial: addSpecial) { stream throws(UnbrokenTextError) in
            try stream.append(bytes, isTemplate: parseSpecial)
        }
    }

    /// The tokens of a prompt made of template text, whose control tokens are meant, and outside
    /// text, which cannot make any. Words and merges do not stop at the seams: for outside text
    /// without control tokens, the ids are those of the whole text.
    package func encode(_ segments: [PromptSegment], addSpecial: Bool) -> [TokenID] {
        encode(addSpecial: addSpecial) { stream throws(UnbrokenTextError) in
            for segment in segments {
                try stream.append(segment.text.utf8, isTemplate: segment.isTemplate)
            }
        }
    }

    private func encode(
        addSpecial: Bool, _ feed: (inout TokenStream) throws(UnbrokenTextError) -> Void
    ) -> [TokenID] {
        var stream = TokenStream(self, addSpecial: addSpecial)
        do throws(UnbrokenTextError) {
            try feed(&stream)
        } catch {
            preconditionFailure("no stretch is too long where there is no limit")
        }
        stream.finish()
        return stream.tokens
    }

    /// Appends the tokens of text between special tokens. Where it is open, of which more may
    /// follow, some of its end is left for later.
    ///
    /// - Parameter followsToken: whether a special token, or nothing, is before it.
    /// - Returns: the bytes that the tokens stand for.
    func encode(
        _ bytes: ArraySlice<UInt8>, followsToken: Bool, isOpen: Bool, into output: inout [TokenID]
    ) -> Int {
        switch model {
        case .bytePair(let encoder):
            return encoder.encode(bytes, isOpen: isOpen, into: &output)
        case .sentencePiece(let encoder):
            return encoder.encode(
                bytes, addsSpace: addsSpacePrefix && followsToken, isOpen: isOpen, into: &output)
        }
    }

    /// The text of a special token; empty for none.
    package func text(_ token: TokenID?) -> String {
        token.map { String(decoding: bytes(of: $0, showsControl: true), as: UTF8.self) } ?? ""
    }

    /// The token that the vocabulary puts before texts, if any.
    package var addedBeginning: TokenID? {
        vocabularySpecial.addsBeginning == true ? vocabularySpecial.beginning : nil
    }

    /// The token that the vocabulary puts after texts, if any.
    package var addedEnd: TokenID? {
        vocabularySpecial.addsEnd == true ? vocabularySpecial.end : nil
    }

    /// Whether a space takes three bytes while text is encoded.
    var escapesSpaces: Bool {
        switch model {
        case .bytePair(let encoder): encoder.escapesSpaces
        case .sentencePiece: true
        }
    }

    /// How often splitting `bytes` into words looks at a scalar: linear in their number. Nil where
    /// nothing is split before merging.
    package func looks(splitting bytes: [UInt8]) -> Int? {
        switch model {
        case .bytePair(let encoder): encoder.looks(splitting: bytes)
        case .sentencePiece: nil
        }
    }

    /// Tokens that a text of `byteCount` bytes has at the least: no token stands for more bytes
    /// than the longest one's text has. 0 where a text's bytes may get lost.
    package func tokensMin(byteCount: Int) -> Int {
        let keepsAllBytes =
            switch model {
            case .bytePair(let encoder): encoder.keepsAllBytes
            case .sentencePiece(let encoder): encoder.keepsAllBytes
            }
        return keepsAllBytes ? byteCount / max(1, tokens.longestBytes) : 0
    }
}

// MARK: - Decoding

extension Tokenizer {
    /// The bytes that a token stands for, which may be part of a character.
    package func bytes(of token: TokenID, showsControl: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        append(token, showsControl: showsControl, to: &bytes)
        return bytes
    }

    /// Appends the bytes that a token stands for: none for control and unknown tokens unless
    /// `showsControl`, none for ids that are no token.
    package func append(_ token: TokenID, showsControl: Bool = false, to bytes: inout [UInt8]) {
        guard token.rawValue >= 0, token.index < tokens.count else { return }
        let text = tokens.texts[token.index]
        switch tokens.kinds[token.index] {
        case .control, .unknown:
            if showsControl { bytes += text }
        case .userDefined:
            bytes += text
        case .byte:
            if let byte = ByteToken.byte(text) { bytes.append(byte) }
        case .normal:
            switch model {
            case .bytePair(let encoder) where encoder.isByteLevel:
                ByteAlphabet.appendDecoded(text, to: &bytes)
            case .bytePair(let encoder) where !encoder.escapesSpaces: bytes += text
            case .bytePair, .sentencePiece: Self.appendUnescaped(text, to: &bytes)
            }
        case .unused, .undefined:
            break
        }
    }

    /// The bytes of a whole text's tokens: those of each, without the space that SentencePiece
    /// adds at the beginning. For the continuation of a text use ``bytes(of:showsControl:)``.
    package func decode(_ tokens: [TokenID], showsControl: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        var dropsSpace = addsSpacePrefix
        for token in tokens {
            let start = bytes.count
            append(token, showsControl: showsControl, to: &bytes)
            if dropsSpace, start < bytes.count {
                if bytes[start] == 0x20 { bytes.remove(at: start) }
                dropsSpace = false
            }
        }
        return bytes
    }

    /// Appends `text` with U+2581 as spaces.
    private static func appendUnescaped(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        var index = text.startIndex
        while index < text.endIndex {
            if text[index...].starts(with: SentencePieceEncoder.space) {
                bytes.append(0x20)
                index += 3
            } else {
                bytes.append(text[index])
                index += 1
            }
        }
    }
}
