// The vocabulary extent: a vocabulary in the few megabytes it is in memory, written and read
// through a small window so that neither side holds it twice. docs/FORMAT.md, "Vocabulary". Hostile
// input: every count is checked against the bytes that remain before anything is allocated.

extension Vocabulary {
    /// What only some vocabularies have is written under a version of its own: the others stay as
    /// they were before there was any.
    private static let plainVersion: UInt32 = 1
    private static let endingsVersion: UInt32 = 2
    private static let toolTemplateVersion: UInt32 = 3
    private static let suppressingVersion: UInt32 = 4
    private static let namedTemplatesVersion: UInt32 = 5
    /// Bytes that the reader and the writer hold at a time.
    private static let windowBytes = 64 << 10

    /// Hands the extent's bytes to `write`, in order, in pieces of about 64 KiB.
    package func encodePacked<Failure: Error>(
        _ write: ([UInt8]) throws(Failure) -> Void
    ) throws(Failure) {
        var window: [UInt8] = []
        window.reserveCapacity(Self.windowBytes + 1024)
        func flush(above limit: Int) throws(Failure) {
            guard window.count > limit else { return }
            try write(window)
            window.removeAll(keepingCapacity: true)
        }
        func put(_ text: String?) {
            window.append(text == nil ? 0 : 1)
            guard let text else { return }
            window.appendLittleEndian(UInt32(text.utf8.count))
            window.append(contentsOf: text.utf8)
        }
        func put(_ table: StringTable) throws(Failure) {
            window.appendLittleEndian(UInt32(table.count))
            window.appendLittleEndian(UInt32(table.bytes.count))
            for index in 0..<table.count {
                window.appendLittleEndian(UInt32(table.range(index).count))
                try flush(above: Self.windowBytes)
            }
            for start in stride(from: 0, to: table.bytes.count, by: Self.windowBytes) {
                let end = min(start + Self.windowBytes, table.bytes.count)
                window.append(contentsOf: table.bytes[start..<end])
                try flush(above: Self.windowBytes)
            }
        }
        let version = packedVersion
        window.appendLittleEndian(version)
        put(model.rawValue)
        put(preTokenizer)
        put(templates.plain)
        for token in special.packedTokens {
            window.appendLittleEndian(UInt32(bitPattern: token?.rawValue ?? -1))
        }
        for flag in [special.addsBeginning, special.addsEnd, special.addsSpacePrefix] {
            window.append(flag.map { $0 ? 1 : 0 } ?? 2)
        }
        func put(_ tokens: [TokenID]) {
            window.appendLittleEndian(UInt32(tokens.count))
            for token in tokens { window.appendLittleEndian(UInt32(bitPattern: token.rawValue)) }
        }
        if version >= Self.endingsVersion { put(special.moreEndings) }
        if version >= Self.toolTemplateVersion { put(templates.tool) }
        if version >= Self.suppressingVersion { put(special.suppressed) }
        if version >= Self.namedTemplatesVersion {
            window.appendLittleEndian(UInt32(templates.others.count))
            for template in templates.others {
                put(template.name)
                put(template.source)
                try flush(above: Self.windowBytes)
            }
        }
        try put(tokens)
        window.appendLittleEndian(UInt32(kinds.count))
        for kind in kinds {
            window.append(kind.rawValue)
            try flush(above: Self.windowBytes)
        }
        window.appendLittleEndian(UInt32(scores.count))
        for score in scores {
            window.appendLittleEndian(score.bitPattern)
            try flush(above: Self.windowBytes)
        }
        try put(merges)
        try flush(above: 0)
    }

    private var packedVersion: UInt32 {
        if !templates.others.isEmpty { return Self.namedTemplatesVersion }
        if !special.suppressed.isEmpty { return Self.suppressingVersion }
        if templates.tool != nil { return Self.toolTemplateVersion }
        return special.moreEndings.isEmpty ? Self.plainVersion : Self.endingsVersion
    }

    /// Reads and verifies a vocabulary extent.
    ///
    /// - Throws: `FormatError` when reading fails, the bytes are damaged, or they are not a
    ///   vocabulary.
    package init(packed extent: PackedExtent, source: any ByteSource) throws(FormatError) {
        var reader = PackedVocabularyReader(source: source, extent: extent)
        let version = try reader.readUInt32()
        guard (Self.plainVersion...Self.namedTemplatesVersion).contains(version) else {
            throw reader.error("vocabulary version 1 to 5", "\(version)")
        }
        let modelName = try reader.readText() ?? ""
        guard let model = Model(rawValue: modelName) else {
            throw reader.error("vocabulary model gpt2, llama or gemma4", "another")
        }
        self.init(model: model)
        preTokenizer = try reader.readText()
        templates.plain = try reader.readText()
        special = try reader.readSpecialTokens()
        if version >= Self.endingsVersion {
            special.moreEndings = try reader.readTokens(most: 2 * SpecialTokens.roleTokensMax)
        }
        if version >= Self.toolTemplateVersion { templates.tool = try reader.readText() }
        if version >= Self.suppressingVersion {
            special.suppressed = try reader.readTokens(most: SpecialTokens.suppressedMax)
        }
        if version >= Self.namedTemplatesVersion {
            templates.others = try reader.readNamedTemplates()
        }
        tokens = try reader.readTable()
        let kindCount = try reader.readCount(of: "token kinds", elementBytes: 1)
        kinds.reserveCapacity(kindCount)
        for _ in 0..<kindCount {
            let value = try reader.readByte()
            guard let kind = TokenKind(rawValue: value) else {
                throw reader.error("a token kind", "\(value)")
            }
            kinds.append(kind)
        }
        let scoreCount = try reader.readCount(of: "scores", elementBytes: 4)
        scores.reserveCapacity(scoreCount)
        for _ in 0..<scoreCount {
            scores.append(Float(bitPattern: try reader.readUInt32()))
        }
        merges = try reader.readTable()
        try reader.finish()
        guard kinds.isEmpty || kinds.count == tokens.count else {
            throw reader.error("\(tokens.count) token kinds", "\(kinds.count)")
        }
        guard scores.isEmpty || scores.count == tokens.count else {
            throw reader.error("\(tokens.count) scores", "\(scores.count)")
        }
        for token in special.packedTokens + special.moreEndings + special.suppressed {
            guard let token else { continue }
            guard token.index < tokens.count else {
                throw reader.error("special tokens below \(tokens.count)", "\(token.index)")
            }
        }
    }
}

extension SpecialTokens {
    /// The tokens in their order in the extent.
    fileprivate var packedTokens: [TokenID?] { [beginning, end, endOfTurn, unknown, padding] }
}

/// Reads an extent front to back through a window.
private struct PackedVocabularyReader {
    private let source: any ByteSource
    private let extent: PackedExtent
    private var window: [UInt8] = []
    /// In the window.
    private var position = 0
    /// Bytes of the extent that were brought into the window so far.
    private var fetched = 0
    private var checksum = Checksum()

    init(source: any ByteSource, extent: PackedExtent) {
        self.source = source
        self.extent = extent
    }

    private var remaining: Int { extent.byteCount - fetched + window.count - position }

    func error(_ expected: String, _ found: String) -> FormatError {
        let offset = extent.offset + UInt64(fetched - window.count + position)
        return FormatError(file: source.name, offset: offset, expected: expected, found: found)
    }

    /// Makes the next `count` bytes one slice of the window, moving what is left to its front.
    private mutating func fill(_ count: Int) throws(FormatError) {
        guard window.count - position < count else { return }
        guard count <= remaining else {
            throw error("\(count) more bytes of vocabulary", "\(remaining)")
        }
        window.removeFirst(position)
        position = 0
        let fetch = min(max(count, 64 << 10) - window.count, extent.byteCount - fetched)
        let piece = try source.packedBytes(at: extent.offset + UInt64(fetched), count: fetch)
        checksum.add(piece[...])
        window.append(contentsOf: piece)
        fetched += fetch
    }

    mutating func readByte() throws(FormatError) -> UInt8 {
        try fill(1)
        position += 1
        return window[position - 1]
    }

    mutating func readUInt32() throws(FormatError) -> UInt32 {
        try fill(4)
        position += 4
        return window.littleEndian(at: position - 4)
    }

    /// A number of elements that the extent has room for.
    mutating func readCount(of what: String, elementBytes: Int) throws(FormatError) -> Int {
        let count = Int(try readUInt32())
        guard count <= remaining / elementBytes else {
            throw error("\(what) in \(remaining) bytes", "\(count) of \(elementBytes) bytes")
        }
        return count
    }

    mutating func readText() throws(FormatError) -> String? {
        let present = try readByte()
        guard present <= 1 else { throw error("0 or 1 before a text", "\(present)") }
        guard present == 1 else { return nil }
        let count = try readCount(of: "a text", elementBytes: 1)
        try fill(count)
        let bytes = window[position..<position + count]
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("UTF-8", "other bytes")
        }
        position += count
        return text
    }

    mutating func readNamedTemplates() throws(FormatError) -> [ChatTemplateSources.Named] {
        // A name and a source of a byte each.
        let count = try readCount(of: "named templates", elementBytes: 2)
        guard count <= ChatTemplateSources.othersMax else {
            throw error("at most \(ChatTemplateSources.othersMax) named templates", "\(count)")
        }
        var templates: [ChatTemplateSources.Named] = []
        for _ in 0..<count {
            guard let name = try readText(), ChatTemplateSources.isName(name) else {
                throw error("a template's name", "another text")
            }
            templates.append(ChatTemplateSources.Named(name: name, source: try readText() ?? ""))
        }
        return templates
    }

    mutating func readSpecialTokens() throws(FormatError) -> SpecialTokens {
        var ids: [TokenID?] = []
        for _ in 0..<5 {
            let value = Int32(bitPattern: try readUInt32())
            guard value >= -1 else { throw error("a token or -1", "\(value)") }
            ids.append(value < 0 ? nil : TokenID(rawValue: value))
        }
        var flags: [Bool?] = []
        for _ in 0..<3 {
            let value = try readByte()
            guard value <= 2 else { throw error("0, 1 or 2", "\(value)") }
            flags.append(value == 2 ? nil : value == 1)
        }
        var special = SpecialTokens()
        (special.beginning, special.end, special.endOfTurn) = (ids[0], ids[1], ids[2])
        (special.unknown, special.padding) = (ids[3], ids[4])
        (special.addsBeginning, special.addsEnd) = (flags[0], flags[1])
        special.addsSpacePrefix = flags[2]
        return special
    }

    mutating func readTokens(most: Int) throws(FormatError) -> [TokenID] {
        let count = try readCount(of: "tokens", elementBytes: 4)
        guard count <= most else {
            throw error("at most \(most) tokens", "\(count)")
        }
        var tokens: [TokenID] = []
        for _ in 0..<count {
            let value = Int32(bitPattern: try readUInt32())
            guard value >= 0 else { throw error("a token", "\(value)") }
            tokens.append(TokenID(rawValue: value))
        }
        return tokens
    }

    mutating func readTable() throws(FormatError) -> StringTable {
        let count = Int(try readUInt32())
        let byteCount = Int(try readUInt32())
        guard byteCount <= remaining, count <= (remaining - byteCount) / 4 else {
            throw error("strings in \(remaining) bytes", "\(count) of \(byteCount) bytes")
        }
        var lengths: [UInt32] = []
        lengths.reserveCapacity(count)
        var total: UInt64 = 0
        for _ in 0..<count {
            let length = try readUInt32()
            total += UInt64(length)
            lengths.append(length)
        }
        guard total == UInt64(byteCount) else {
            throw error("strings of \(byteCount) bytes", "\(total)")
        }
        var table = StringTable()
        table.reserve(strings: count, bytes: byteCount)
        for length in lengths {
            try fill(Int(length))
            table.append(window[position..<position + Int(length)])
            position += Int(length)
        }
        return table
    }

    /// The extent must end here and be what was written.
    func finish() throws(FormatError) {
        guard remaining == 0 else { throw error("the vocabulary's end", "\(remaining) bytes") }
        guard checksum.value == extent.checksum else {
            throw FormatError(
                file: source.name, offset: extent.offset,
                expected: "checksum \(extent.checksum.hexadecimal) of the vocabulary",
                found: checksum.value.hexadecimal)
        }
    }
}
