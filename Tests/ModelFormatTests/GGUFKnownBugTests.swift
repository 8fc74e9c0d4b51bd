// Security bugs that other GGUF readers had, by their identifiers: each one's kind of file is
// refused here, or is harmless.

import ModelFamilies
import ModelFormat
import Synchronization
import TestSupport
import Testing

/// A file that claims any size: zeros after its first bytes. Counts what is read of it.
private final class ClaimedSource: ByteSource {
    let name = "claimed.gguf"
    let byteCount: UInt64
    private let head: [UInt8]
    private let readBytes = Mutex(0)

    init(_ builder: GGUFBuilder, byteCount: UInt64) {
        head = builder.bytes()
        self.byteCount = byteCount
    }

    var bytesRead: Int { readBytes.withLock { $0 } }

    func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let length = buffer.byteCount
        readBytes.withLock { $0 += length }
        guard offset <= byteCount, UInt64(length) <= byteCount - offset else {
            throw FormatError(
                file: name, offset: offset, expected: "a read inside", found: "\(length)")
        }
        for index in 0..<length {
            let place = offset + UInt64(index)
            let byte = place < UInt64(head.count) ? head[Int(place)] : 0
            buffer.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
    }
}

@Suite struct GGUFKnownBugTests {
    /// Refused, and after little reading: nothing in the size of what is claimed.
    private func refuseCheaply(
        _ words: String, claiming byteCount: UInt64 = 1 << 62,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ fill: (inout GGUFBuilder) -> Void,
        use: (GGUFFile) throws -> Void = { _ in }
    ) {
        var builder = GGUFBuilder()
        fill(&builder)
        let source = ClaimedSource(builder, byteCount: byteCount)
        expectRefused(words, sourceLocation: sourceLocation) {
            try use(try GGUFFile(parts: [source]))
        }
        #expect(source.bytesRead <= 1 << 20, sourceLocation: sourceLocation)
    }

    @Test("CVE-2024-21802: more dimensions than four overrun a shape")
    func tooManyDimensions() {
        for count: UInt32 in [5, 1_000, 0x4000_0000, UInt32.max] {
            refuseCheaply("1 to 4 dimensions in 'a', found \(count)") {
                $0.addTensor("a", [8, 1, 1, 1], claimedDimensionCount: count)
            }
        }
    }

    @Test("CVE-2024-21825: an array's count times its element size wraps")
    func arrayCountWraps() {
        for (type, count): (UInt32, UInt64) in [
            (4, (1 << 62) + 1), (10, (1 << 61) + 1), (8, (1 << 61) + 1), (0, UInt64.max)
        ] {
            refuseCheaply("elements in 'key', found \(count)") {
                $0.addArray("key", of: type, count: count, bytes: [0, 0, 0, 0])
            }
        }
    }

    @Test("CVE-2024-21836: the number of tensors times their size wraps")
    func tensorCountWraps() {
        for count: UInt64 in [(1 << 56) + 1, 1 << 61, UInt64.max, 32_769] {
            refuseCheaply("tensors in the header, found \(count)") { $0.claimedTensorCount = count }
        }
    }

    @Test("CVE-2024-23496: a string's length plus one wraps")
    func stringLengthWraps() {
        refuseCheaply("a string's length in 'key' of at most") {
            $0.add("key", type: 8, bytes: GGUFBuilder.number(UInt64.max))
        }
        var small = GGUFBuilder()
        small.add("key", type: 8, bytes: GGUFBuilder.number(UInt64(11)) + Array("ten bytes.".utf8))
        expectRefused("of at most the 10 bytes that remain, found 11") {
            try GGUFTestFiles.open(small)
        }
        refuseCheaply("bytes for a string in 'key'") {
            $0.addArray("key", of: 8, count: 1, bytes: GGUFBuilder.number(UInt64.max))
        }
        refuseCheaply("a key's length in metadata key 0") {
            $0.addRaw(GGUFBuilder.number(UInt64.max) + [UInt8](repeating: 0, count: 16))
        }
    }

    @Test("CVE-2024-23605: the number of keys times their size wraps")
    func keyCountWraps() {
        for count: UInt64 in [(1 << 58) + 1, 1 << 61, UInt64.max, 16_385] {
            refuseCheaply("metadata keys in the header, found \(count)") {
                $0.claimedMetadataCount = count
            }
        }
    }

    @Test("CVE-2024-32878: reading fails half-way through a value")
    func failureHalfWay() {
        for count in [2, 3, 1_000] {
            var builder = GGUFBuilder()
            builder.claimedMetadataCount = 1
            builder.addArray(
                "key", of: 8, count: UInt64(count), bytes: GGUFBuilder.string("one") + [5, 0])
            expectRefused("'key'") { try GGUFTestFiles.open(builder) }
        }
    }

    @Test("CVE-2024-34359: a chat template is text, never a program")
    func chatTemplateIsText() throws {
        let template = "{{ self.__init__.__globals__.__builtins__.__import__('os').system('id') }}"
        var builder = GGUFBuilder()
        builder.add("tokenizer.ggml.model", "llama")
        builder.add("tokenizer.ggml.tokens", ["a"])
        builder.add("tokenizer.chat_template", template)
        #expect(try GGUFTestFiles.open(builder).vocabulary().templates.plain == template)
    }

    @Test("CVE-2025-49847: a size that does not fit 32 bits passes a narrowed check")
    func narrowedSizes() {
        for length: UInt64 in [1 << 31, (1 << 32) + 1, UInt64(UInt32.max)] {
            refuseCheaply("bytes for a string in 'tokenizer.ggml.tokens'") {
                $0.add("tokenizer.ggml.model", "llama")
                $0.addArray(
                    "tokenizer.ggml.tokens", of: 8, count: 1, bytes: GGUFBuilder.number(length))
            }
        }
        refuseCheaply("elements in 'tokenizer.ggml.tokens', found 4294967297") {
            $0.add("tokenizer.ggml.model", "llama")
            $0.addArray("tokenizer.ggml.tokens", of: 8, count: (1 << 32) + 1, bytes: [])
        }
    }

    @Test("CVE-2025-53630, CVE-2026-27940: the sum of tensor sizes wraps")
    func summedSizesWrap() {
        refuseCheaply("a file that holds its tensors") {
            $0.addTensor("a", [0x1FFF_FFFF_FFFF_FFE0])
            $0.addTensor("b", [0x1FFF_FFFF_FFFF_FFE0], offset: 0x7FFF_FFFF_FFFF_FF80)
        }
        // Each fits the claimed file; their sum is what no counter should hold.
        refuseCheaply("at most 1152921504606846976 bytes of tensors", claiming: 1 << 63) {
            $0.addTensor("a", [1 << 57])
            $0.addTensor("b", [1 << 58], offset: 1 << 60)
        }
    }

    @Test("CVE-2026-33298: a shape whose size wraps to a small one")
    func sizeWrapsToSmall() {
        // 4 * (2^62 + 2^20) is 4 MiB in 64 bits.
        refuseCheaply("a size that fits the file in 'a'") {
            $0.addTensor("a", [(1 << 62) + (1 << 20)])
        }
        refuseCheaply("a size that fits the file in 'a'") {
            $0.addTensor("a", [1 << 32, 1 << 31, 4])
        }
    }

    @Test("CVE-2026-7482: a declared tensor exceeds the file")
    func tensorExceedsFile() {
        var builder = GGUFBuilder()
        builder.addTensor("a", [1 << 20])
        builder.data = [UInt8](repeating: 0, count: 64)
        expectRefused("for the 4194304 bytes of 'a'") { try GGUFTestFiles.open(builder) }
    }

    @Test("llama.cpp #24759: padding an offset wraps")
    func paddingWraps() {
        refuseCheaply("a multiple of 32") { $0.addTensor("a", [8], offset: UInt64.max - 15) }
        refuseCheaply("a file that holds its tensors") {
            $0.addTensor("a", [8], offset: UInt64.max - 31)
        }
    }

    @Test("llama.cpp #24997: alignment without bound")
    func unboundedAlignment() {
        refuseCheaply("a power of two up to 1048576, found 2147483648") {
            $0.add("general.alignment", UInt32(1) << 31)
            $0.addTensor("a", [8])
        }
    }

    @Test("llama.cpp #25821: more layers than a fixed array holds")
    func tooManyLayers() {
        for layers: UInt32 in [1_025, 1 << 31, UInt32.max] {
            refuseCheaply("llama.block_count in 1...1024, found \(layers)") {
                $0.add("general.architecture", "llama")
                $0.add("llama.context_length", UInt32(128))
                $0.add("llama.block_count", layers)
            } use: {
                _ = try $0.shape()
            }
        }
    }

    @Test("llama.cpp #25969: an array of another type than its reader takes it for")
    func arrayOfAnotherType() {
        for (key, words) in [
            ("tokens", "an array of string"), ("token_type", "an array of integers"),
            ("scores", "an array of float32")
        ] {
            refuseCheaply("tokenizer.ggml.\(key) to be \(words), found array of bool") { builder in
                builder.add("tokenizer.ggml.model", "llama")
                if key != "tokens" { builder.add("tokenizer.ggml.tokens", ["a", "b"]) }
                builder.addArray("tokenizer.ggml.\(key)", of: 7, count: 2, bytes: [0, 1])
            } use: {
                _ = try $0.vocabulary()
            }
        }
        refuseCheaply("tokenizer.ggml.merges to be an array of string, found array of float32") {
            $0.add("tokenizer.ggml.model", "gpt2")
            $0.add("tokenizer.ggml.tokens", ["a", "b"])
            $0.add("tokenizer.ggml.merges", [Float(1)])
        } use: {
            _ = try $0.vocabulary()
        }
    }

    @Test(
        "llama.cpp #26690: a byte token that names no byte",
        arguments: ["<0x-1>", "<0xG0>", "<0x100>", "<0x1>", "0x41", "", "<0x41}", "<0x\u{0660}>"])
    func byteTokenWithoutByte(token: String) {
        refuseCheaply("token 1, of kind byte, to be like <0x0A>") {
            $0.add("tokenizer.ggml.model", "llama")
            $0.add("tokenizer.ggml.tokens", ["<0xfF>", token])
            $0.add("tokenizer.ggml.token_type", [Int32(6), 6])
        } use: {
            _ = try $0.vocabulary()
        }
    }

    @Test("GO-2025-3557, GO-2025-3689: allocation by a claimed size")
    func allocationByClaim() {
        // 128 Mi one-byte elements are there, but nobody copies them.
        refuseCheaply(
            "tokenizer.ggml.tokens to be an array of string, found array of uint8",
            claiming: 1 << 40
        ) {
            $0.add("tokenizer.ggml.model", "gpt2")
            $0.addArray("tokenizer.ggml.tokens", of: 0, count: 1 << 27, bytes: [])
        } use: {
            _ = try $0.vocabulary()
        }
        refuseCheaply("of at most 1048576 bytes, found 134217728", claiming: 1 << 40) {
            $0.add("tokenizer.chat_template", type: 8, bytes: GGUFBuilder.number(UInt64(1) << 27))
        } use: {
            _ = try $0.metadata.string("tokenizer.chat_template")
        }
    }

    @Test("GO-2025-3558: an index outside the vocabulary")
    func indexOutsideVocabulary() {
        for role in ["bos", "eos", "eot", "unknown", "padding"] {
            refuseCheaply("tokenizer.ggml.\(role)_token_id below the number of tokens, 2, found 2")
            {
                $0.add("tokenizer.ggml.model", "llama")
                $0.add("tokenizer.ggml.tokens", ["a", "b"])
                $0.add("tokenizer.ggml.\(role)_token_id", UInt32(2))
            } use: {
                _ = try $0.vocabulary()
            }
        }
    }

    @Test(
        "GO-2025-3559: division by a zero from the file",
        arguments: [
            "block_count", "embedding_length", "attention.head_count",
            "attention.head_count_kv", "attention.key_length", "context_length",
            "feed_forward_length", "rope.dimension_count"
        ])
    func divisionByZero(name: String) {
        expectRefused("llama.\(name) in 1...") {
            var builder = GGUFBuilder()
            builder.add("general.architecture", "llama")
            let usual: [(String, UInt32)] = [
                ("block_count", 1), ("embedding_length", 32), ("attention.head_count", 2),
                ("context_length", 64), ("feed_forward_length", 64)
            ]
            for (other, value) in usual where other != name {
                builder.add("llama.\(other)", value)
            }
            builder.add("llama.\(name)", UInt32(0))
            builder.add("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
            builder.add("llama.vocab_size", UInt32(8))
            return try GGUFTestFiles.open(builder).shape()
        }
    }

    @Test("GO-2025-3582: a key that is not there")
    func missingKeys() {
        refuseCheaply("the metadata key 'llama.context_length', found none") {
            $0.add("general.architecture", "llama")
        } use: {
            _ = try $0.shape()
        }
    }
}
