// Hand-made malformed GGUF files: each is refused with one line that says what and where. The first
// suite follows llama.cpp's own list of hand-made cases (tests/test-gguf.cpp).

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

@Suite struct GGUFHeaderTests {
    @Test(arguments: ["FUGG", "GGJT", "GGML", "\0\0\0\0", "vers"])
    func badMagic(magic: String) {
        var builder = GGUFBuilder()
        builder.magic = Array(magic.utf8)
        expectRefused("at byte 0: expected a GGUF file (magic 'GGUF')") {
            try GGUFTestFiles.open(builder)
        }
    }

    @Test(arguments: [
        (UInt32(0), "version 0"), (1, "version 1, an old layout"), (4, "version 4"),
        (0x0300_0000, "a big-endian one (version 3"), (0x0200_0000, "a big-endian one (version 2"),
        (UInt32.max, "version 4294967295")
    ])
    func badVersion(version: UInt32, found: String) {
        var builder = GGUFBuilder()
        builder.version = version
        expectRefused("found \(found)") { try GGUFTestFiles.open(builder) }
    }

    @Test(arguments: [1, 2, 1 << 32, 1 << 63, UInt64.max, UInt64.max / 33 + 1])
    func badCounts(count: UInt64) {
        var tensors = GGUFBuilder()
        tensors.claimedTensorCount = count
        expectRefused("at byte 8: expected at most 0 tensors") { try GGUFTestFiles.open(tensors) }
        var keys = GGUFBuilder()
        keys.claimedMetadataCount = count
        expectRefused("at byte 16: expected at most 0 metadata keys") {
            try GGUFTestFiles.open(keys)
        }
    }

    @Test func emptyHeaderIsAFileWithoutAModel() throws {
        let file = try GGUFTestFiles.open(GGUFBuilder())
        #expect(file.tensors.isEmpty)
        #expect(file.metadata.entries.isEmpty)
        #expect(file.modelName() == nil)
        expectRefused("the metadata key 'general.architecture'") { try file.family() }
        expectRefused("the metadata key 'general.architecture'") { try file.shape() }
        expectRefused("the metadata key 'tokenizer.ggml.model'") { try file.vocabulary() }
    }

    @Test func everyPrefixIsRefused() throws {
        var builder = GGUFBuilder()
        builder.add("general.architecture", "llama")
        builder.add("numbers", [Int32(1), 2])
        builder.add("strings", ["one", "two"])
        builder.add("flag", true)
        builder.addTensor("a", [8, 2])
        builder.data = [UInt8](repeating: 1, count: 64)
        let bytes = builder.bytes()
        _ = try GGUFTestFiles.open(builder)
        for length in 0..<bytes.count {
            let prefix = ByteArraySource(name: "cut", bytes: Array(bytes.prefix(length)))
            expectRefused("cut") { try GGUFFile(parts: [prefix]) }
        }
    }
}

@Suite struct GGUFMetadataTests {
    @Test(arguments: [1 << 63, UInt64.max, 1_025, 4_000])
    func badKeyLength(length: UInt64) {
        var builder = GGUFBuilder()
        builder.addRaw(
            GGUFBuilder.number(length) + [UInt8](repeating: 0x61, count: 2_000)
                + GGUFBuilder.number(UInt32(4)) + GGUFBuilder.number(UInt32(4)))
        expectRefused("a key's length in metadata key 0") { try GGUFTestFiles.open(builder) }
    }

    @Test func emptyKey() {
        var builder = GGUFBuilder()
        builder.add("", UInt32(1))
        expectRefused("a key's length above 0 in metadata key 0") {
            try GGUFTestFiles.open(builder)
        }
    }

    @Test func keyThatIsNotText() {
        var builder = GGUFBuilder()
        builder.addRaw(GGUFBuilder.number(UInt64(2)) + [0xC3, 0x28] + [0, 0, 0, 0, 1])
        expectRefused("UTF-8 in metadata key 0") { try GGUFTestFiles.open(builder) }
    }

    @Test func duplicateKey() {
        var builder = GGUFBuilder()
        builder.add("one", UInt32(1))
        builder.add("one", "two")
        expectRefused("each metadata key once, found 'one' again") {
            try GGUFTestFiles.open(builder)
        }
    }

    @Test func messagesStayOnOneLine() {
        var builder = GGUFBuilder()
        let key = "a\nb\u{1B}[31m\u{202E}" + String(repeating: "x", count: 500)
        builder.add(key, UInt32(1))
        builder.add(key, UInt32(1))
        expectRefused("'a\\u{a}b\\u{1b}[31m\\u{202e}xxx") { try GGUFTestFiles.open(builder) }
    }

    @Test(arguments: [13, 99, UInt32.max])
    func badType(type: UInt32) {
        var builder = GGUFBuilder()
        builder.add("key", type: type, bytes: [0, 0, 0, 0])
        expectRefused("a value type of 0...12 in 'key', found \(type)") {
            try GGUFTestFiles.open(builder)
        }
        var array = GGUFBuilder()
        array.addArray("key", of: type, count: 1, bytes: [0, 0, 0, 0])
        expectRefused("an array's element type of 0...12 in 'key', found \(type)") {
            try GGUFTestFiles.open(array)
        }
    }

    @Test func arrayOfArrays() {
        var builder = GGUFBuilder()
        var inner = GGUFBuilder.number(UInt32(9)) + GGUFBuilder.number(UInt64(1))
        for _ in 0..<1_000 { inner += inner.prefix(12) }
        builder.addArray("deep", of: 9, count: 1, bytes: inner)
        expectRefused("found an array of arrays") { try GGUFTestFiles.open(builder) }
    }

    @Test func boolsAreZeroOrOne() {
        var builder = GGUFBuilder()
        builder.add("flag", type: 7, bytes: [2])
        expectRefused("a bool of 0 or 1 in 'flag', found 2") { try GGUFTestFiles.open(builder) }
        var array = GGUFBuilder()
        array.addArray("flags", of: 7, count: 3, bytes: [0, 1, 255])
        expectRefused("a bool of 0 or 1 in 'flags', found 255") { try GGUFTestFiles.open(array) }
    }

    @Test(arguments: [0, 13, 33, 1 << 21, UInt32.max])
    func badAlignment(alignment: UInt32) {
        var builder = GGUFBuilder()
        builder.add("general.alignment", alignment)
        expectRefused("general.alignment to be a power of two up to 1048576, found \(alignment)") {
            try GGUFTestFiles.open(builder)
        }
    }

    @Test func alignmentOfAnotherType() {
        var builder = GGUFBuilder()
        builder.add("general.alignment", type: 5, bytes: [32, 0, 0, 0])
        expectRefused("general.alignment to be a uint32, found int32") {
            try GGUFTestFiles.open(builder)
        }
    }

    @Test func everyTypeIsReadByItsAccessor() throws {
        var builder = GGUFBuilder()
        let numbers: [(UInt32, [UInt8], Int)] = [
            (0, [0xFE], 254), (1, [0xFE], -2), (2, [0xFE, 0xFF], 65_534), (3, [0xFE, 0xFF], -2),
            (4, [0xFE, 0xFF, 0xFF, 0xFF], 4_294_967_294), (5, [0xFE, 0xFF, 0xFF, 0xFF], -2),
            (10, [5, 0, 0, 0, 0, 0, 0, 0], 5), (11, [UInt8](repeating: 0xFF, count: 8), -1)
        ]
        for (type, bytes, _) in numbers { builder.add("n\(type)", type: type, bytes: bytes) }
        builder.add("f", Float(1.5))
        builder.add("d", type: 12, bytes: GGUFBuilder.number(Double(-2.5).bitPattern))
        builder.add("b", true)
        builder.add("s", "text")
        builder.add("layers", [Int32(8), 8, 8])
        builder.add("mixed", [Int32(8), 8, 7])
        let metadata = try GGUFTestFiles.open(builder).metadata
        for (type, _, value) in numbers { #expect(try metadata.integer("n\(type)") == value) }
        #expect(try metadata.float("f", in: 0...2) == 1.5)
        #expect(try metadata.float("d", in: -3...0) == -2.5)
        #expect(try metadata.bool("b") == true)
        #expect(try metadata.string("s") == "text")
        #expect(try metadata.uniformInteger("layers", in: 1...9) == 8)
        #expect(try metadata.integer("absent") == nil)
        expectRefused("mixed to be the same in every layer, found 7 in layer 2") {
            try metadata.uniformInteger("mixed", in: 1...9)
        }
        expectRefused("n0 in 0...9, found 254") { try metadata.integer("n0", in: 0...9) }
        expectRefused("f in 2.0...3.0, found 1.5") { try metadata.float("f", in: 2...3) }
        expectRefused("s to be an integer, found string") { try metadata.integer("s") }
        expectRefused("layers to be an integer, found array of int32") {
            try metadata.integer("layers")
        }
        expectRefused("b to be a string, found bool") { try metadata.string("b") }
        expectRefused("s to be a bool, found string") { try metadata.bool("s") }
    }

    @Test func numbersThatAreNone() throws {
        var builder = GGUFBuilder()
        builder.add("nan", Float.nan)
        builder.add("infinite", -Float.infinity)
        builder.add("wide", type: 12, bytes: GGUFBuilder.number(Double(1e300).bitPattern))
        builder.add("big", type: 10, bytes: [UInt8](repeating: 0xFF, count: 8))
        builder.addArray("empty", of: 5, count: 0, bytes: [])
        builder.add("words", ["a"])
        builder.add("text", type: 8, bytes: GGUFBuilder.number(UInt64(1)) + [0xFF])
        let metadata = try GGUFTestFiles.open(builder).metadata
        let all = -Float.greatestFiniteMagnitude...Float.greatestFiniteMagnitude
        for key in ["nan", "infinite", "wide"] {
            expectRefused("expected \(key) in") { try metadata.float(key, in: all) }
        }
        expectRefused("found 18446744073709551615") { try metadata.integer("big") }
        expectRefused("a list of integers, found array of int32") {
            try metadata.uniformInteger("empty", in: 0...1)
        }
        expectRefused("a list of integers, found array of string") {
            try metadata.uniformInteger("words", in: 0...1)
        }
        expectRefused("UTF-8 in text") { try metadata.string("text") }
    }
}

@Suite struct GGUFTensorTableTests {
    private func refuse(
        _ words: String, data: Int = 4_096, alignment: UInt32? = nil,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ add: (inout GGUFBuilder) -> Void
    ) {
        var builder = GGUFBuilder()
        if let alignment {
            builder.add("general.alignment", alignment)
            builder.alignment = Int(alignment)
        }
        add(&builder)
        builder.data = [UInt8](repeating: 0, count: data)
        expectRefused(words, sourceLocation: sourceLocation) { try GGUFTestFiles.open(builder) }
    }

    @Test func badNames() {
        refuse("a tensor name's length in the tensor table of at most 256, found 257") {
            $0.addTensor(String(repeating: "n", count: 257), [8])
        }
        refuse("a tensor name's length above 0") { $0.addTensor("", [8]) }
        refuse("each tensor once, found 'a' again") {
            $0.addTensor("a", [8])
            $0.addTensor("a", [8], offset: 32)
        }
    }

    @Test func badShapes() {
        for count in [0, 5, 1 << 31, UInt32.max] {
            refuse("1 to 4 dimensions in 'a', found \(count)") {
                $0.addTensor("a", [8, 1, 1, 1, 1], claimedDimensionCount: count)
            }
        }
        refuse("a dimension of 1...9223372036854775807 in 'a', found 0") {
            $0.addTensor("a", [8, 0])
        }
        refuse("found 18446744073709551615") { $0.addTensor("a", [UInt64.max]) }
        refuse("a size that fits the file in 'a', found 4294967296 x 4294967296") {
            $0.addTensor("a", [1 << 32, 1 << 32, 1, 1])
        }
        refuse("found 9223372036854775807 x 2") { $0.addTensor("a", [UInt64(Int.max), 2]) }
        refuse("found 4611686018427387904") { $0.addTensor("a", [1 << 62]) }
    }

    @Test func rowsAreWholeBlocks() {
        refuse("rows of whole 32-element blocks in 'a', found 33 columns") {
            $0.addTensor("a", [33], type: 2)
        }
        refuse("rows of whole 256-element blocks in 'a', found 32 columns") {
            $0.addTensor("a", [32, 8], type: 12)
        }
    }

    @Test(arguments: [
        (UInt32(4), "q4_2, which is out of use"), (31, "q4_0_4_4, which is out of use"),
        (99, "type 99"), (UInt32.max, "type 4294967295")
    ])
    func unsupportedFormatsAreNamed(type: UInt32, name: String) {
        refuse("q1_0 q2_0 in 'a', found \(name)") {
            $0.addTensor("a", [256], type: type)
        }
    }

    /// Block sizes by ggml's tables: elements, bytes.
    @Test(arguments: [
        (UInt32(0), 1, 4), (1, 1, 2), (30, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22),
        (7, 32, 24), (8, 32, 34), (12, 256, 144), (13, 256, 176), (14, 256, 210),
        (10, 256, 84), (11, 256, 110), (20, 32, 18), (23, 256, 136), (39, 32, 17)
    ])
    func supportedFormats(type: UInt32, elements: Int, bytes: Int) throws {
        var builder = GGUFBuilder()
        builder.addTensor("a", [UInt64(2 * elements), 3, 2], type: type)
        builder.data = [UInt8](repeating: 0, count: 12 * bytes)
        let tensor = try #require(try GGUFTestFiles.open(builder).tensor(named: "a"))
        #expect(tensor.byteCount == 12 * bytes)
        #expect((tensor.columns, tensor.rows) == (2 * elements, 6))
        builder.data.removeLast()
        expectRefused("a file that holds its tensors") { try GGUFTestFiles.open(builder) }
    }

    @Test func badOffsets() {
        refuse("a multiple of 32, found 4 for 'a'") { $0.addTensor("a", [8], offset: 4) }
        refuse("at data offset 4096") { $0.addTensor("a", [8], offset: 4_096) }
        refuse("a file that holds its tensors") { $0.addTensor("a", [1_024, 2]) }
        refuse("a file that holds its tensors") { $0.addTensor("a", [8], offset: 1 << 63) }
        refuse("'b' over 'a'") {
            $0.addTensor("a", [16])
            $0.addTensor("b", [8], offset: 32)
        }
        refuse("over") {
            $0.addTensor("a", [8], offset: 64)
            $0.addTensor("b", [8])
            $0.addTensor("c", [8], offset: 32)
            $0.addTensor("d", [9], offset: 64)
        }
    }

    @Test func inconsistentAlignment() {
        refuse("a multiple of 64, found 32 for 'b'", alignment: 64) {
            $0.addTensor("a", [8])
            $0.addTensor("b", [8], offset: 32)
        }
    }

    @Test(arguments: [1, 8, 64, 4_096])
    func customAlignment(alignment: UInt32) throws {
        var builder = GGUFBuilder()
        builder.add("general.alignment", alignment)
        builder.alignment = Int(alignment)
        builder.addTensor("a", [1])
        builder.addTensor("b", [1], offset: UInt64(max(4, alignment)))
        builder.data = [UInt8](repeating: 0, count: Int(max(4, alignment)) + 4)
        let file = try GGUFTestFiles.open(builder)
        #expect(file.alignment == UInt64(alignment))
        #expect(file.tensors.allSatisfy { $0.offset % UInt64(alignment) == 0 })
    }
}
