// A vocabulary out of GGUF metadata (`tokenizer.*`), also from files that hold no tensors. Owns the
// checks that a tokenizer relies on: as many kinds and scores as tokens, special tokens inside the
// vocabulary, merges of two pieces, byte tokens that name a byte. Refuses tokenizer kinds other
// than BPE and SentencePiece by name.

extension GGUFFile {
    /// The vocabulary, decoded.
    ///
    /// - Throws: `FormatError` when it is missing, malformed, or of an unsupported kind.
    package func vocabulary() throws(FormatError) -> Vocabulary {
        try GGUFVocabularyReader(metadata: metadata).vocabulary()
    }
}

private struct GGUFVocabularyReader {
    let metadata: GGUFMetadata

    func vocabulary() throws(FormatError) -> Vocabulary {
        var vocabulary = Vocabulary(model: try model())
        vocabulary.preTokenizer = try metadata.string("tokenizer.ggml.pre")
        vocabulary.tokens = try strings("tokenizer.ggml.tokens") { _ throws(FormatError) in }
        let count = vocabulary.tokens.count
        guard count > 0 else {
            throw metadata.missing("tokenizer.ggml.tokens")
        }
        vocabulary.kinds = try kinds(count: count)
        switch vocabulary.model {
        case .bytePairEncoding, .characterPairEncoding: vocabulary.merges = try merges()
        case .sentencePiece:
            vocabulary.scores = try scores(count: count)
            try checkByteTokens(vocabulary)
        }
        vocabulary.special = try special(vocabulary.model, count: count)
        vocabulary.templates = try templates()
        return vocabulary
    }

    /// The chat templates. The list of their names (`tokenizer.chat_templates`) says nothing that
    /// the keys do not.
    private func templates() throws(FormatError) -> ChatTemplateSources {
        let key = "tokenizer.chat_template"
        var templates = ChatTemplateSources()
        templates.plain = try metadata.string(key)
        templates.tool = try metadata.string("\(key).\(ChatTemplateSources.toolName)")
        for entry in metadata.entries where entry.key.hasPrefix(key + ".") {
            let name = String(entry.key.dropFirst(key.count + 1))
            // Nobody could ask for others.
            guard name != ChatTemplateSources.toolName, ChatTemplateSources.isName(name),
                name != ChatTemplateSources.defaultName || templates.plain == nil,
                let source = try metadata.string(entry.key)
            else { continue }
            guard templates.others.count < ChatTemplateSources.othersMax else {
                throw metadata.error(
                    entry, expected: "at most \(ChatTemplateSources.othersMax) named templates",
                    found: "more")
            }
            templates.others.append(ChatTemplateSources.Named(name: name, source: source))
        }
        return templates
    }

    private func model() throws(FormatError) -> Vocabulary.Model {
        let key = "tokenizer.ggml.model"
        guard let name = try metadata.string(key) else { throw metadata.missing(key) }
        guard let model = Vocabulary.Model(rawValue: name) else {
            throw FormatError(
                file: metadata.source.name, offset: metadata.entry(key)?.payload.lowerBound,
                expected: "\(key) to be gpt2 (byte-level BPE), llama (SentencePiece) or gemma4",
                found: shown(name))
        }
        return model
    }

    /// An array of strings, each of which passes `check`.
    private func strings(
        _ key: String, check: (ArraySlice<UInt8>) throws(FormatError) -> Void
    ) throws(FormatError) -> StringTable {
        guard let entry = metadata.entry(key) else { throw metadata.missing(key) }
        guard entry.elementType == .string else {
            throw metadata.mismatch(entry, "an array of string")
        }
        guard entry.count <= UInt64(GGUFLimits.tableStrings) else {
            throw metadata.error(
                entry, expected: "at most \(GGUFLimits.tableStrings) strings in \(key)",
                found: "\(entry.count)")
        }
        let count = Int(entry.count)
        // The payload is a length of 8 bytes and the bytes themselves for each string.
        let bytes = entry.payload.upperBound - entry.payload.lowerBound - 8 * entry.count
        guard bytes <= UInt64(GGUFLimits.tableBytes) else {
            throw metadata.error(
                entry, expected: "at most \(GGUFLimits.tableBytes) bytes in \(key)",
                found: "\(bytes)")
        }
        var table = StringTable()
        table.reserve(strings: count, bytes: Int(bytes))
        var reader = metadata.reader(entry)
        for _ in 0..<count {
            let length = try reader.length("a string's length", limit: GGUFLimits.tableBytes)
            let string = try reader.bytes(length, "a string")
            try check(string)
            table.append(string)
        }
        return table
    }

    /// An array of `count` numbers of one of `types`, or nil where the key is absent.
    private func numbers<Number>(
        _ key: String, count: Int, of types: (GGUFValueType) -> Bool, named typeNames: String,
        decode: (GGUFValueType, UInt64) -> Number?
    ) throws(FormatError) -> [Number]? {
        guard let entry = metadata.entry(key) else { return nil }
        guard let type = entry.elementType, types(type), let size = type.byteCount else {
            throw metadata.mismatch(entry, "an array of \(typeNames)")
        }
        guard entry.count == UInt64(count) else {
            throw metadata.error(
                entry, expected: "\(count) elements in \(key), one for each token",
                found: "\(entry.count)")
        }
        var numbers: [Number] = []
        numbers.reserveCapacity(count)
        var reader = metadata.reader(entry)
        for index in 0..<count {
            let place = reader.offset
            let bits = try reader.bits(size)
            guard let number = decode(type, bits) else {
                throw reader.error(
                    at: place, expected: "a valid value for token \(index) in \(key)",
                    found: "\(type) of bits \(bits)")
            }
            numbers.append(number)
        }
        return numbers
    }

    private func kinds(count: Int) throws(FormatError) -> [TokenKind] {
        try numbers(
            "tokenizer.ggml.token_type", count: count, of: { $0.isInteger }, named: "integers"
        ) { type, bits in
            type.integer(bits).flatMap(UInt8.init(exactly:)).flatMap(TokenKind.init(rawValue:))
        } ?? []
    }

    /// Zeros where the file has none, as llama.cpp takes it.
    private func scores(count: Int) throws(FormatError) -> [Float] {
        let key = "tokenizer.ggml.scores"
        return try numbers(key, count: count, of: { $0 == .float32 }, named: "float32") { _, bits in
            let score = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
            return score.isNaN ? nil : score
        } ?? [Float](repeating: 0, count: count)
    }

    private func merges() throws(FormatError) -> StringTable {
        let key = "tokenizer.ggml.merges"
        var index = 0
        return try strings(key) { merge throws(FormatError) in
            // A piece may itself begin with a space, so the first byte is never the separator.
            guard let space = merge.dropFirst().firstIndex(of: UInt8(ascii: " ")),
                space < merge.endIndex - 1
            else {
                throw FormatError(
                    file: metadata.source.name,
                    offset: metadata.entry(key)?.payload.lowerBound,
                    expected: "two pieces in merge \(index)",
                    found: shown(String(decoding: merge.prefix(64), as: UTF8.self)))
            }
            index += 1
        }
    }

    /// A token of kind byte is spelt `<0xHH>`; anything else would name no byte.
    private func checkByteTokens(_ vocabulary: Vocabulary) throws(FormatError) {
        for (index, kind) in vocabulary.kinds.enumerated() where kind == .byte {
            let token = vocabulary.tokens[index]
            let digits = token.dropFirst(3).dropLast()
            guard token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">"),
                digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit })
            else {
                throw FormatError(
                    file: metadata.source.name,
                    offset: metadata.entry("tokenizer.ggml.tokens")?.payload.lowerBound,
                    expected: "token \(index), of kind byte, to be like <0x0A>",
                    found: shown(String(decoding: token.prefix(64), as: UTF8.self)))
            }
        }
    }

    private func special(
        _ model: Vocabulary.Model, count: Int
    ) throws(FormatError) -> SpecialTokens {
        var special = SpecialTokens()
        // SentencePiece files leave these out where they are the usual ones; llama.cpp's defaults.
        let usual = model == .sentencePiece
        special.beginning = try tokens("bos", count: count, usual: usual ? 1 : nil).first
        special.unknown = try tokens("unknown", count: count, usual: usual ? 0 : nil).first
        special.padding = try tokens("padding", count: count).first
        // Models that end in several ways may list them.
        let ends = try tokens("eos", count: count, usual: usual ? 2 : nil)
        let endsOfTurn = try tokens("eot", count: count)
        special.end = ends.first
        special.endOfTurn = endsOfTurn.first
        for token in ends.dropFirst() + endsOfTurn.dropFirst()
        where !special.moreEndings.contains(token) { special.moreEndings.append(token) }
        special.suppressed = try suppressed(count: count)
        special.addsBeginning = try metadata.bool("tokenizer.ggml.add_bos_token")
        special.addsEnd = try metadata.bool("tokenizer.ggml.add_eos_token")
        special.addsSpacePrefix = try metadata.bool("tokenizer.ggml.add_space_prefix")
        return special
    }

    /// What lies outside the vocabulary no model says anyway.
    private func suppressed(count: Int) throws(FormatError) -> [TokenID] {
        let key = "tokenizer.ggml.suppress_tokens"
        let values = try metadata.integers(key, countMax: SpecialTokens.suppressedMax) ?? []
        return Set(values.filter { (0..<count).contains($0) }).sorted().map { TokenID($0) }
    }

    /// The tokens of a role, which files give as a number, as a list, or as both.
    private func tokens(
        _ role: String, count: Int, usual: Int? = nil
    ) throws(FormatError) -> [TokenID] {
        let keys = ["tokenizer.ggml.\(role)_token_id", "tokenizer.ggml.\(role)_token_ids"]
        guard keys.contains(where: { metadata.entry($0) != nil }) else {
            return usual.map { $0 < count ? [TokenID($0)] : [] } ?? []
        }
        var tokens: [TokenID] = []
        for key in keys {
            let values = try metadata.integers(key, countMax: SpecialTokens.roleTokensMax) ?? []
            // Writers say "none" as -1, signed or not.
            for value in values where value != -1 && value != Int(UInt32.max) {
                guard (0..<count).contains(value) else {
                    throw FormatError(
                        file: metadata.source.name, offset: metadata.entry(key)?.payload.lowerBound,
                        expected: "\(key) below the number of tokens, \(count)", found: "\(value)")
                }
                if !tokens.contains(TokenID(value)) { tokens.append(TokenID(value)) }
            }
        }
        return tokens
    }
}
