// Encrypted models: the same answers under any budget, and nothing but an error where a byte or the
// key is another.

import FlashStorage
import FoundationEssentials
import Glibc
import Knobs
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Packing
import Synchronization
import TestSupport
import Testing

@Suite struct EncryptionTests {
    /// Tied and untied embeddings, mixtures, layers' embeddings, learned positions, bundled neurons
    /// with and without scales apart, states.
    static let models = [
        "llama-q4_0", "gemma3", "qwen3moe", "gpt-oss-mxfp4", "gemma4-shared-q8_0", "opt-q8_0",
        "nemotron-q8_0", "llama-relu", "qwen35-q8_0", "deepseek2-q8_0"
    ]

    /// Calls `body` with a plain file, its encrypted copy, and where the key is.
    static func withEncrypted(
        _ name: String, _ body: (_ plain: String, _ path: String, ModelKeySource) throws -> Void
    ) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { plain in
            try withTemporaryDirectory { folder in
                let bytes = (0..<32).map { UInt8($0 * 5 + 1) }
                try Data(bytes).write(to: URL(filePath: "\(folder)/key"))
                let path = "\(folder)/encrypted.sluice"
                let size = try ModelEncryption(path: plain).write(
                    to: path, key: ModelKey(bytes: bytes), processID: getpid())
                #expect(try FileByteSource(path: path).byteCount == size)
                try body(plain, path, ModelKeySource(path: "\(folder)/key"))
            }
        }
    }

    private func evaluate(
        _ path: String, _ keys: ModelKeySource, _ configure: (inout ModelOptions) -> Void
    ) throws -> Evaluation {
        var options = ModelOptions()
        options.logitsRowsMax = 8
        options.modelKeys = keys
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        return try Evaluator(model: model).evaluate(StreamingTests.tokens, generate: 6)
    }

    @Test(arguments: models) func encryptedEqualsPlain(name: String) throws {
        try Self.withEncrypted(name) { plain, path, keys in
            let expected = try evaluate(plain, .standard) { $0.isResident = true }
            #expect(try evaluate(path, keys) { $0.isResident = true } == expected)
            let least = try Fixtures.leastBytes(path) {
                $0.logitsRowsMax = 8
                $0.modelKeys = keys
            }
            for reader in [ReaderChoice.automatic, .threads] {
                let streamed = try evaluate(path, keys) {
                    $0.memoryBytesMax = least
                    $0.flash.reader = reader
                    $0.flash.pieceBytesMax = 8192
                    $0.verification = .always
                }
                #expect(streamed == expected, "\(reader)")
            }
            let model = try PackedModel(source: FileByteSource(path: path), keys: keys)
            try PackedVerifier.verify(
                model, source: model.plain(FileByteSource(path: path)))
            guard model.manifest.neurons != nil else { return }
            let exact = try evaluate(path, keys) {
                $0.sparse = .exact
                $0.memoryBytesMax = least + 1 << 20
            }
            #expect(exact == expected, "neurons one by one")
        }
    }

    /// One byte of every unit, of the tags and of the manifest.
    @Test(arguments: ["gemma3", "opt-q8_0", "qwen3moe"])
    func noChangeIsUnnoticed(name: String) throws {
        try Self.withEncrypted(name) { _, path, keys in
            let bytes = try #require(fileBytes(path))
            let model = try PackedModel(
                source: ByteArraySource(name: "whole", bytes: bytes), keys: keys)
            let seal = try #require(model.seal)
            let opener = try seal.opener()
            var count = 0
            var next = seal.units.unit(endingAfter: 0)
            while let unit = next {
                #expect(unit.index == count)
                #expect(seal.units.unit(endingAfter: unit.end - 1) == unit)
                let start = Int(unit.offset)
                var changed = Array(bytes[start..<Int(unit.end)])
                #expect(Self.damage(of: &changed, opener, unit.offset) == nil)
                changed = Array(bytes[start..<Int(unit.end)])
                changed[(count * 31) % changed.count] ^= 0x10
                #expect(Self.damage(of: &changed, opener, unit.offset) == unit.offset)
                count += 1
                next = seal.units.unit(endingAfter: unit.end)
            }
            #expect(count == seal.units.count && count > 20)
            let header = try PackedHeader(source: ByteArraySource(name: "whole", bytes: bytes))
            for place in [Int(header.manifest.offset) + 3, 50, 85, 100, 13] {
                var changed = bytes
                changed[place] ^= 1
                let source = ByteArraySource(name: "changed", bytes: changed)
                #expect(throws: FormatError.self) { try PackedModel(source: source, keys: keys) }
            }
        }
    }

    private static func damage(
        of bytes: inout [UInt8], _ opener: SealOpener, _ offset: UInt64
    ) -> UInt64? {
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        return opener.open(&raw, at: offset)
    }

    @Test func damagedReadsEndTheRequestAlone() throws {
        try Self.withEncrypted("qwen3moe") { _, path, keys in
            let script = FaultScript()
            var options = ModelOptions()
            options.modelKeys = keys
            options.memoryBytesMax = try Fixtures.leastBytes(path) { $0.modelKeys = keys }
            options.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            let model = try ModelInstance(path: path, options: options)
            let evaluator = Evaluator(model: model)
            let tokens = Array(StreamingTests.tokens.prefix(8))
            let expected = try evaluator.evaluate(tokens, generate: 2)
            script.arm(nil)
            #expect(try evaluator.evaluate(tokens, generate: 2) == expected)
            let reads = script.reads
            #expect(reads > 8)
            for index in stride(from: 0, to: reads, by: max(1, reads / 12)) {
                script.arm(.flippedBit, at: index)
                do {
                    // Read ahead for a pass that never came, or in what lies between units.
                    #expect(try evaluator.evaluate(tokens, generate: 2) == expected)
                } catch EvaluationError.read(let failure) {
                    #expect(failure.cause == .notAuthentic && failure.isDamage, "\(failure)")
                }
                script.arm(nil)
                #expect(try evaluator.evaluate(tokens, generate: 2) == expected)
            }
        }
    }

    @Test func keysAreFoundOrMissed() throws {
        try Self.withEncrypted("llama-q4_0") { plain, path, keys in
            let folder = FileSystem.parent(of: path)
            func open(_ text: String?) throws {
                let file = "\(folder)/keys"
                if let text { try Data(text.utf8).write(to: URL(filePath: file)) }
                let source = try FileByteSource(path: path)
                _ = try PackedModel(source: source, keys: ModelKeySource(path: file))
            }
            let digits = (0..<32).map { UInt8($0 * 5 + 1) }.reduce(into: "") { text, byte in
                text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            let other = String(repeating: "ab", count: 32)
            try open(digits)
            try open("# of the robots\n\n\(other)\r\n  \(digits.uppercased())\n")
            for text in ["", "# nothing\n", other, digits + "0", "\(digits)\nno key\n"] {
                #expect(throws: FormatError.self, "\(text)") { try open(text) }
            }
            _ = unsafe unlink("\(folder)/keys")
            #expect(throws: FormatError.self) { try open(nil) }
            unsafe mkfifo("\(folder)/keys", 0o600)
            #expect(throws: FormatError.self, "nobody writes") { try open(nil) }
            let source = try FileByteSource(path: path)
            let error = #expect(throws: FormatError.self) { try PackedModel(source: source) }
            #expect(error?.description.contains("flash.model_keys") == true)
            #expect(throws: PackingError.self) { try ModelEncryption(path: path) }
            #expect(throws: PackingError.self) {
                try ModelEncryption(path: plain).write(
                    to: path, key: ModelKey(bytes: Array(0..<32)), processID: getpid())
            }
        }
    }

    /// Of a manifest that puts a matrix where the embeddings are, nothing is encrypted.
    @Test func extentsOverEachOtherAreRefused() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/gemma3.gguf") { plain in
            var manifest = try PackedModel(source: FileByteSource(path: plain)).manifest
            #expect(manifest.embeddings.rowsPerExtent != nil)
            _ = try SealedUnits(manifest, file: "whole")
            manifest.matrices[0].offset = manifest.embeddings.offset
            let changed = manifest
            #expect(throws: FormatError.self) { try SealedUnits(changed, file: "changed") }
        }
    }

    @Test func whatIsReadInPartIsNotOpened() throws {
        try Self.withEncrypted("llama-q4_0") { _, path, keys in
            let bytes = try #require(fileBytes(path))
            let model = try PackedModel(source: FileByteSource(path: path), keys: keys)
            let seal = try #require(model.seal)
            let unit = try #require(seal.units.unit(endingAfter: 0))
            var part = Array(bytes[Int(unit.offset)..<Int(unit.end) - 1])
            #expect(Self.damage(of: &part, try seal.opener(), unit.offset) == unit.offset)
        }
    }

    /// Also while the source is still compared with its checksums, the first half of the work.
    @Test func whoStopsItHasNothing() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/qwen3moe.gguf") { plain in
            try withTemporaryDirectory { folder in
                let share = Mutex(0.0)
                let observer = PackingObserver(
                    progress: { done in
                        share.withLock { $0 = Double(done.bytesDone) / Double(done.bytesTotal) }
                    }, isCancelled: { share.withLock { $0 } > 0.1 })
                #expect(throws: PackingError.cancelled) {
                    try ModelEncryption(path: plain).write(
                        to: "\(folder)/x.sluice", key: ModelKey(bytes: Array(0..<32)),
                        processID: getpid(), observer: observer)
                }
                #expect((0.1..<0.5).contains(share.withLock { $0 }))
                let left = try FileSystem.names(in: folder)
                #expect(left.isEmpty)
            }
        }
    }

    /// Files of the same model and key have nothing in common.
    @Test func noTwoFilesAreAlike() throws {
        try Self.withEncrypted("llama-q4_0") { plain, path, keys in
            let other = path + ".other.sluice"
            defer { _ = unsafe unlink(other) }
            _ = try ModelEncryption(path: plain).write(
                to: other, key: try keys.keys()[0], processID: getpid())
            let first = try #require(fileBytes(path))
            let second = try #require(fileBytes(other))
            let weights = try PackedModel(source: FileByteSource(path: plain)).manifest.matrices[0]
            let range = Int(weights.offset)..<Int(weights.offset) + weights.spanBytes
            let source = try #require(fileBytes(plain))
            #expect(Array(first[range]) != Array(second[range]))
            #expect(Array(first[range]) != Array(source[range]))
        }
    }
}
