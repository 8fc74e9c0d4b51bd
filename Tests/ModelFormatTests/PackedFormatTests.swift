// The packed format's small parts by themselves: header, checksums, geometry, vocabulary.

import ModelFormat
import TestSupport
import Testing

@Suite struct PackedFormatTests {
    @Test func checksumIsCastagnoli() {
        #expect(Checksum.of(Array("123456789".utf8)[...]) == 0xE306_9283)
        var pieces = Checksum()
        pieces.add(Array("1234".utf8)[...])
        pieces.add(Array("56789".utf8)[...])
        #expect(pieces.value == 0xE306_9283)
    }

    @Test func headerIsWhereTheDocumentSays() throws {
        let manifest = PackedExtent(offset: 8192, byteCount: 100, checksum: 0x1234_5678)
        let header = PackedHeader(manifest: manifest, fileByteCount: 8292)
        let bytes = header.encoded
        #expect(bytes.count == 4096)
        #expect(Array(bytes[..<8]) == Array("SLUICEPK".utf8))
        #expect(Array(bytes[8..<16]) == [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(bytes[16..<24]) == [0, 0x20, 0, 0, 0, 0, 0, 0])
        #expect(Array(bytes[24..<32]) == [100, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(bytes[32..<36]) == [0x78, 0x56, 0x34, 0x12])
        #expect(Array(bytes[40..<48]) == [0x64, 0x20, 0, 0, 0, 0, 0, 0])
        let file = bytes + [UInt8](repeating: 0, count: 8292 - 4096)
        let source = ByteArraySource(name: "a.sluice", bytes: file)
        #expect(try PackedHeader(source: source) == header)
    }

    @Test func geometryOfAMatrixOfSeveralExtents() {
        let rows = PackedLayout.rowsPerExtent(format: .q8_0, rows: 1000, columns: 4096)
        #expect(rows == 240)  // 4352 bytes a row: 15 tiles fit a MiB.
        let matrix = PackedMatrix(
            role: .output, layer: nil, format: .q8_0, rows: 1000, columns: 4096,
            rowsPerExtent: rows, offset: 4096, checksums: PackedChecksums([1, 2, 3, 4, 5]))
        #expect(matrix.extentCount == 5)
        #expect(matrix.stride == 1_044_480)
        #expect(matrix.extent(4).rows == 960..<1000)
        #expect(matrix.extent(4).byteCount == 48 * 4352)
        #expect(matrix.extent(4).offset == 4096 + 4 * 1_044_480)
        #expect(matrix.extent(4).checksum == 5)
        #expect(matrix.byteCount == 1008 * 4352)
        #expect(matrix.spanBytes == 4 * 1_044_480 + 48 * 4352)
        // A tile that is longer than an extent should be is an extent.
        #expect(PackedLayout.rowsPerExtent(format: .f32, rows: 99, columns: 262_144) == 16)
    }

    @Test func pagesOfARow() {
        let rows = PackedRows(
            format: .q8_0, rows: 100, columns: 512, offset: 8192,
            pageChecksums: PackedExtent(offset: 65536, byteCount: 56, checksum: 0))
        #expect(rows.pageCount == 14)
        #expect(rows.pages(row: 0) == 0..<1)
        #expect(rows.pages(row: 7) == 0..<2)  // Bytes 3808 to 4351.
        #expect(rows.pages(row: 99) == 13..<14)
    }

    /// Extents of 32 rows of 272 bytes in tiles of 4,352 bytes, at multiples of three pages.
    @Test func pagesOfATile() {
        let rows = PackedRows(
            format: .q8_0, rows: 100, columns: 256, offset: 8192, rowsPerExtent: 32,
            pageChecksums: PackedExtent(offset: 65536, byteCount: 44, checksum: 0))
        #expect(rows.byteCount == 3 * 12_288 + 4_352 && rows.pageCount == 11)
        #expect(rows.bytes(row: 15) == 0..<4_352 && rows.bytes(row: 16) == 4_352..<8_704)
        #expect(rows.bytes(row: 33) == 12_288..<16_640)
        #expect(rows.pages(row: 31) == 1..<3 && rows.pages(row: 99) == 9..<11)
        #expect(rows.lookupBytesMax == 3 * 4_096)
    }

    @Test(arguments: WeightFormat.allCases) func rowsComeOutOfTiles(format: WeightFormat) {
        let columns = max(64, format.blockElements)
        let rowBytes = format.rowBytes(columns: columns)
        var random = SplitMix(seed: 81)
        let rows = (0..<16).map { _ in random.bytes(rowBytes) }
        var tile: [UInt8] = []
        var start = 0
        while start < rowBytes {
            for field in format.fields {
                for place in Swift.stride(from: start, to: start + field.bytes, by: field.unit) {
                    for row in rows { tile += row[place..<place + field.unit] }
                }
                start += field.bytes
            }
        }
        for (index, row) in rows.enumerated() {
            var found = [UInt8](repeating: 0, count: rowBytes)
            var span = found.mutableSpan
            var bytes = unsafe span.mutableBytes
            format.copyRow(index, of: unsafe tile.span.bytes, columns: columns, into: &bytes)
            #expect(found == row, "row \(index)")
        }
    }

    // MARK: Vocabulary

    /// Every field set, and a table longer than the writer's window.
    private func vocabulary(tokens: Int) -> Vocabulary {
        var vocabulary = Vocabulary(model: .sentencePiece)
        vocabulary.preTokenizer = "default"
        vocabulary.templates.plain = "{% for message in messages %}\u{1F600}"
        vocabulary.tokens = StringTable((0..<tokens).map { "token \($0)".utf8 })
        vocabulary.kinds = (0..<tokens).compactMap { TokenKind(rawValue: UInt8($0 % 7)) }
        vocabulary.scores = (0..<tokens).map { -Float($0) / 3 }
        vocabulary.merges = StringTable([[0xFF, 0xFE], [], Array("a b".utf8)])
        vocabulary.special.beginning = TokenID(0)
        vocabulary.special.padding = TokenID(tokens - 1)
        vocabulary.special.addsBeginning = true
        vocabulary.special.addsEnd = false
        return vocabulary
    }

    private func encoded(_ vocabulary: Vocabulary) -> [UInt8] {
        var bytes: [UInt8] = []
        vocabulary.encodePacked { bytes += $0 }
        return bytes
    }

    private func decoded(_ bytes: [UInt8]) throws(FormatError) -> Vocabulary {
        let extent = PackedExtent(
            offset: 0, byteCount: bytes.count, checksum: Checksum.of(bytes[...]))
        return try Vocabulary(
            packed: extent, source: ByteArraySource(name: "a.sluice", bytes: bytes))
    }

    @Test(arguments: [1, 30, 60_000])
    func vocabularyRoundTrips(_ tokens: Int) throws {
        let vocabulary = vocabulary(tokens: tokens)
        #expect(try decoded(encoded(vocabulary)) == vocabulary)
        // Further endings make another version, which only such vocabularies need.
        var listed = vocabulary
        listed.special.moreEndings = [TokenID(0), TokenID(tokens - 1)]
        #expect(encoded(vocabulary)[0] == 1 && encoded(listed)[0] == 2)
        #expect(try decoded(encoded(listed)) == listed)
        var tooled = vocabulary
        tooled.templates.tool = "{{ tools }}"
        #expect(encoded(tooled)[0] == 3)
        #expect(try decoded(encoded(tooled)) == tooled)
        tooled.special.moreEndings = listed.special.moreEndings
        #expect(try decoded(encoded(tooled)) == tooled)
        var silent = listed
        silent.special.suppressed = [TokenID(0), TokenID(tokens - 1)]
        #expect(encoded(silent)[0] == 4)
        #expect(try decoded(encoded(silent)) == silent)
        var named = silent
        named.templates.others = ["rag", "a.b"].map { .init(name: $0, source: "{{ \($0) }}") }
        #expect(encoded(named)[0] == 5)
        #expect(try decoded(encoded(named)) == named)
        let nameless = encoded(named).split(separator: Array("rag".utf8))
            .joined(separator: Array("{ }".utf8))
        #expect(throws: FormatError.self) { try decoded(Array(nameless)) }
        listed.special.moreEndings = [TokenID(tokens)]
        let bytes = encoded(listed)
        #expect(throws: FormatError.self) { try decoded(bytes) }
    }

    @Test func emptyVocabularyRoundTrips() throws {
        let vocabulary = Vocabulary(model: .bytePairEncoding)
        #expect(try decoded(encoded(vocabulary)) == vocabulary)
    }

    @Test func vocabularyCutShortOrGrown() throws {
        var vocabulary = vocabulary(tokens: 5)
        vocabulary.special.moreEndings = [TokenID(3)]
        vocabulary.special.suppressed = [TokenID(1), TokenID(2)]
        vocabulary.templates.others = [.init(name: "rag", source: "{{ a }}")]
        let bytes = encoded(vocabulary)
        for length in 0..<bytes.count {
            #expect(throws: FormatError.self) { _ = try decoded(Array(bytes.prefix(length))) }
        }
        #expect(throws: FormatError.self) { try decoded(bytes + [0]) }
    }

    @Test func damagedVocabularyIsRefusedByItsChecksum() throws {
        var bytes = encoded(vocabulary(tokens: 5))
        let extent = PackedExtent(
            offset: 0, byteCount: bytes.count, checksum: Checksum.of(bytes[...]))
        for index in bytes.indices {
            bytes[index] ^= 0x10
            let source = ByteArraySource(name: "a.sluice", bytes: bytes)
            #expect(throws: FormatError.self) { try Vocabulary(packed: extent, source: source) }
            bytes[index] ^= 0x10
        }
    }

    @Test func hostileVocabulariesWithCorrectChecksums() throws {
        let seed: UInt64 = 4711
        print("seed \(seed)")
        let bytes = encoded(vocabulary(tokens: 5))
        let mutations = FileMutator.mutations(of: bytes, seed: seed, count: 2000)
        var refused = 0
        for mutation in mutations {
            do throws(FormatError) {
                let vocabulary = try decoded(mutation.bytes)
                // What is accepted keeps the promises that a tokenizer relies on.
                let count = vocabulary.tokens.count
                #expect(vocabulary.kinds.isEmpty || vocabulary.kinds.count == count)
                #expect(vocabulary.scores.isEmpty || vocabulary.scores.count == count)
            } catch {
                refused += 1
                let isOneLine = !error.description.contains(where: \.isNewline)
                #expect(isOneLine, "\(error)")
            }
        }
        #expect(refused > 1000)
    }
}
