// What an import refuses, and that no failure leaves anything behind.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Synchronization
import TestSupport
import Testing
import Tokenization

@Suite struct ImportTests {
    /// The error that packing `tiny` ends with.
    private func refusal(_ tiny: TinyModel) throws -> String {
        let error = #expect(throws: PackingError.self) { try Packer(parts: [tiny.source()]) }
        return try #require(error).description
    }

    @Test func missingTensorsAreNamed() throws {
        for name in [
            "blk.1.attn_q.weight", "blk.0.ffn_norm.weight", "output_norm.weight",
            "blk.1.ffn_down.weight"
        ] {
            #expect(try refusal(TinyModel(omitted: [name])).contains(name))
        }
        let qwen = TinyModel(architecture: "qwen2", omitted: ["blk.1.attn_k.bias"])
        #expect(try refusal(qwen).contains("blk.1.attn_k.bias"))
        for name in ["blk.1.attn_norm.bias", "blk.0.ffn_norm.bias", "output_norm.bias"] {
            let nemotron = TinyModel(architecture: "nemotron", omitted: [name])
            #expect(try refusal(nemotron).contains(name))
        }
        let split = TinyModel(
            experts: 3, splitExperts: true, omitted: ["blk.1.ffn_up.2.weight"])
        #expect(try refusal(split).contains("blk.1.ffn_up.2.weight"))
    }

    /// What no load accepts is refused before anything is written.
    @Test func vocabulariesThatNoLoadAcceptsAreRefused() throws {
        let unknown = try refusal(TinyModel(preTokenizer: "nonsense"))
        #expect(unknown.contains("unknown pre-tokenizer 'nonsense'; known: default, gpt-2, "))
        #expect(unknown.contains(", smollm, ") && unknown.contains(", gemma4, "))
        let outside = TinyModel(addMetadata: { $0.add("tokenizer.ggml.eos_token_id", UInt32(37)) })
        #expect(try refusal(outside).contains("eos_token_id"))
        for count in [36, 38] {
            let kinds = TinyModel(addMetadata: {
                $0.add("tokenizer.ggml.token_type", [Int32](repeating: 1, count: count))
            })
            #expect(try refusal(kinds).contains("token_type"))
        }
        let packer = try Packer(parts: [TinyModel(preTokenizer: "smollm").source()])
        #expect(packer.chatNotice?.contains("completion works") == true)
    }

    /// As `sluice import` has it, to a packed file that says what was decided no more.
    @Test func vocabulariesThatContradictThemselvesAreDecided() throws {
        let tiny = TinyModel(tokenTexts: [5: "t3"]) { file in
            file.add("tokenizer.ggml.add_bos_token", true)
            file.add("tokenizer.ggml.add_eos_token", true)
        }
        let directory = try TemporaryDirectory()
        try directory.write(try contents(tiny.source()), to: "m.gguf")
        let job = try ImportJob(
            sourcePath: directory.file("m.gguf"), libraryDirectory: directory.path)
        let result = try job.run(processID: getpid())
        #expect(
            result.repairs == [
                "add_bos_token is false: there is no bos_token_id",
                "add_eos_token is false: there is no eos_token_id",
                "'t3' is token 5, not 3 of the same text"
            ])
        let source = try FileByteSource(path: result.path)
        let vocabulary = try PackedModel(source: source).vocabulary(from: source)
        #expect(vocabulary.special.addsBeginning == false && vocabulary.special.addsEnd == false)
        #expect(vocabulary.repaired().repairs == ["'t3' is token 5, not 3 of the same text"])
        let tokenizer = try Tokenizer(vocabulary)
        #expect(tokenizer.token("t3") == TokenID(5))
        #expect(tokenizer.bytes(of: TokenID(3)) == tokenizer.bytes(of: TokenID(5)))
    }

    @Test func tokensMayBeSuppressed() throws {
        let tiny = TinyModel(addMetadata: {
            $0.add("tokenizer.ggml.suppress_tokens", [Int32(9), 3, -1, 9, 1 << 30])
        })
        let special = try GGUFFile(parts: [tiny.source()]).vocabulary().special
        #expect(special.suppressed == [3, 9].map { TokenID($0) })
    }

    @Test func endingsMayBeListed() throws {
        let tiny = TinyModel(addMetadata: {
            $0.add("tokenizer.ggml.eos_token_id", [Int32(7), 9])
            $0.add("tokenizer.ggml.eot_token_ids", [Int32(9), 11, 12])
        })
        let special = try GGUFFile(parts: [tiny.source()]).vocabulary().special
        #expect(special.end == TokenID(7) && special.endOfTurn == TokenID(9))
        #expect(special.moreEndings == [9, 11, 12].map { TokenID($0) })
        let many = TinyModel(addMetadata: {
            $0.add("tokenizer.ggml.eos_token_id", [Int32](repeating: 1, count: 65))
        })
        #expect(try refusal(many).contains("at most 64"))
    }

    @Test func unknownAndFusedTensorsAreNamed() throws {
        for name in ["blk.0.attn_qkv.weight", "blk.1.ssm_a.weight", "blk.2.attn_q.weight"] {
            let tiny = TinyModel(extraTensors: [(name, [64, 16], .f32)])
            #expect(try refusal(tiny).contains(name))
        }
        // One expert too many in a file of the old kind.
        let tiny = TinyModel(
            experts: 2, splitExperts: true,
            extraTensors: [("blk.0.ffn_up.2.weight", [64, 128], .f32)])
        #expect(try refusal(tiny).contains("blk.0.ffn_up.2.weight"))
        let harmless = [
            (name: "blk.0.attn_rot_embd.weight", dimensions: [10], format: WeightFormat.f32)
        ]
        _ = try Packer(parts: [TinyModel(extraTensors: harmless).source()])
    }

    /// A tensor beside those that it holds is one too many; one that holds less is another shape.
    @Test func fusedTensorsAreWholeAndAlone() throws {
        let both = TinyModel(
            extraTensors: [("blk.0.attn_qkv.weight", [64, 152], .f32)],
            omitted: ["blk.0.attn_k.weight"])
        #expect(try refusal(both).contains("blk.0.attn_k.weight"))
        let short = TinyModel(
            isFused: true, extraTensors: [("blk.0.attn_qkv.weight", [64, 120], .f32)],
            omitted: ["blk.0.attn_qkv.weight"])
        #expect(try refusal(short).contains("blk.0.attn_qkv.weight of 64 x 152, found 64 x 120"))
    }

    /// Blocks that only draft are left out, and their bytes said; all else must be known.
    @Test func draftLayersAreLeftOut() throws {
        var tiny = TinyModel(drafts: 1)
        #expect(try Packer(parts: [tiny.source()]).leftOut == nil)
        tiny.extraTensors = [
            ("blk.2.attn_q.weight", [64, 16], .f32), ("blk.2.nextn.eh_proj.weight", [128, 64], .f16)
        ]
        let bytes = 64 * 16 * 4 + 128 * 64 * 2
        let found = try Packer(parts: [tiny.source()]).leftOut
        #expect(found?.draftLayerCount == 1 && found?.bytes.draftLayers == bytes)
        for name in ["blk.3.attn_q.weight", "blk.1.nextn.enorm.weight", "blk.2x.a", "blk..a"] {
            tiny.extraTensors = [(name, [64, 16], .f32)]
            #expect(try refusal(tiny).contains(name))
        }
    }

    /// A bias that the forward pass does not add must not be taken.
    @Test(arguments: [
        ("arcee", 0, "ffn_up", 128), ("nemotron", 0, "ffn_gate", 128), ("qwen2", 0, "ffn_down", 64),
        ("llama", 0, "attn_norm", 64), ("llama", 4, "ffn_up", 128), ("llama", 4, "ffn_gate_inp", 4),
        ("qwen2moe", 4, "ffn_up_shexp", 32)
    ])
    func otherBiasesAreNamed(family: String, experts: Int, tensor: String, count: Int) throws {
        let tiny = TinyModel(
            architecture: family, experts: experts,
            sharedFeedForward: family == "qwen2moe" ? 32 : 0,
            extraTensors: [("blk.0.\(tensor).bias", [count], .f32)])
        #expect(try refusal(tiny).contains("only tensors of \(family), found blk.0.\(tensor).bias"))
    }

    @Test func wrongShapesAndFormatsAreNamed() throws {
        let rows = TinyModel(
            extraTensors: [("blk.0.attn_k.weight", [64, 36], .f32)],
            omitted: ["blk.0.attn_k.weight"])
        let error = try refusal(rows)
        #expect(error.contains("blk.0.attn_k.weight") && error.contains("64 x 40"))
        let norm = TinyModel(
            extraTensors: [("blk.0.attn_norm.weight", [64], .q8_0)],
            omitted: ["blk.0.attn_norm.weight"])
        #expect(try refusal(norm).contains("blk.0.attn_norm.weight"))
    }

    // MARK: Jobs

    /// A library with one source in it, outside the library's names.
    private func library(
        _ tiny: TinyModel = TinyModel()
    ) throws -> (directory: TemporaryDirectory, path: String) {
        let directory = try TemporaryDirectory()
        try directory.write(tiny.gguf(), to: "tiny.gguf")
        return (directory, directory.file("tiny.gguf"))
    }

    @Test func importsUnderItsName() throws {
        let (directory, path) = try library()
        let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
        let result = try job.run(processID: getpid())
        #expect(result.path == directory.file("tiny.sluice"))
        #expect(result.modelName == "tiny llama")
        #expect(try directory.names() == ["tiny.gguf", "tiny.sluice"])
        let packed = try FileByteSource(path: result.path)
        #expect(result.packedBytes == packed.byteCount)
        let model = try PackedModel(source: packed)
        #expect(model.manifest.source.fileName == "tiny.gguf")
    }

    @Test func activationIsRecorded() throws {
        let (directory, path) = try library(TinyModel(architecture: "arcee"))
        let job = try ImportJob(
            sourcePath: path, libraryDirectory: directory.path, activation: .relu)
        let packed = try FileByteSource(path: try job.run(processID: getpid()).path)
        #expect(try PackedModel(source: packed).manifest.shape.activation == .relu)
    }

    @Test func existingModelsAreKeptUnlessForced() throws {
        let (directory, path) = try library()
        try directory.write([1, 2, 3], to: "tiny.sluice")
        let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
        #expect(throws: PackingError.exists(job.destination)) { try job.run(processID: getpid()) }
        #expect(try contents(FileByteSource(path: job.destination)) == [1, 2, 3])
        let forced = try ImportJob(
            sourcePath: path, libraryDirectory: directory.path, overwrite: true)
        _ = try forced.run(processID: getpid())
        _ = try PackedModel(source: FileByteSource(path: job.destination))
    }

    @Test func defaultNames() {
        #expect(ImportJob.defaultName("/a/model.gguf") == "model")
        #expect(ImportJob.defaultName("Model-Q4_0-00001-of-00003.GGUF") == "Model-Q4_0")
        #expect(ImportJob.defaultName("a-of-b.gguf") == "a-of-b")
        #expect(ImportJob.defaultName("X.gguf-00001-of-00006.gguf") == "X")
        #expect(ImportJob.defaultName("dir.gguf/plain") == "plain")
        #expect(ImportJob.defaultName("..My Model (é).gguf") == "My-Model----")
    }

    @Test(arguments: [
        "", "a/b", "../a", ".a", "-a", "a\nb", "a\u{0}b", "a\u{1B}[2J", ".sluice", "a b", "é",
        String(repeating: "x", count: 201)
    ])
    func badNamesAreRefused(_ name: String) throws {
        let error = #expect(throws: PackingError.self) {
            try ImportJob(sourcePath: "a.gguf", libraryDirectory: ".", name: name)
        }
        guard case .name = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func missingAndImproperSources() throws {
        let directory = try TemporaryDirectory()
        for (path, number) in [
            (directory.file("none.gguf"), ENOENT), (directory.path, EISDIR)
        ] {
            let job = try ImportJob(
                sourcePath: path, libraryDirectory: directory.path, name: "a")
            let error = #expect(throws: PackingError.self) { try job.run(processID: getpid()) }
            guard case .source(let cause) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(cause.errorNumber == number)
        }
        try directory.write(Array("not a model".utf8), to: "a.gguf")
        let job = try ImportJob(
            sourcePath: directory.file("a.gguf"), libraryDirectory: directory.path)
        #expect(throws: PackingError.self) { try job.run(processID: getpid()) }
        #expect(try directory.names() == ["a.gguf"])
    }

    // MARK: Faults

    /// Runs an import that `disturb` disturbs after its first extent, and returns its error.
    private func disturbed(
        _ directory: TemporaryDirectory, _ path: String,
        _ disturb: @escaping @Sendable () -> Void
    ) throws -> PackingError {
        let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
        let calls = Atomic<Int>(0)
        let observer = PackingObserver(progress: { _ in
            if calls.add(1, ordering: .relaxed).newValue == 3 { disturb() }
        })
        let error = #expect(throws: PackingError.self) {
            try job.run(processID: getpid(), observer: observer)
        }
        #expect(try directory.names() == ["tiny.gguf"])
        return try #require(error)
    }

    @Test func sourcesThatShrinkOrGrow() throws {
        for change in [-5000, 5000] {
            let (directory, path) = try library()
            let error = try disturbed(directory, path) {
                let file = try? FileDescriptor(path: path, mode: .readWrite)
                guard let length = try? file?.byteCount() else { return }
                try? file?.truncate(byteCount: UInt64(Int(length) + change))
            }
            if change > 0 {
                #expect(error == .sourceChanged(path))
            } else {
                #expect(error.description.contains("became shorter"))
            }
        }
    }

    @Test func truncatedSourcesAreRefusedBeforeWriting() throws {
        let bytes = TinyModel().gguf()
        for length in [bytes.count - 1, bytes.count / 2, 100] {
            let directory = try TemporaryDirectory()
            try directory.write(Array(bytes.prefix(length)), to: "tiny.gguf")
            let job = try ImportJob(
                sourcePath: directory.file("tiny.gguf"), libraryDirectory: directory.path)
            let error = #expect(throws: PackingError.self) { try job.run(processID: getpid()) }
            guard case .format = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(try directory.names() == ["tiny.gguf"])
        }
    }

    @Test func cancelledImportsLeaveNothing() throws {
        for stop in [1, 2, 10, 20] {
            let (directory, path) = try library()
            let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
            let asked = Atomic<Int>(0)
            let observer = PackingObserver(isCancelled: {
                asked.add(1, ordering: .relaxed).newValue >= stop
            })
            #expect(throws: PackingError.cancelled) {
                try job.run(processID: getpid(), observer: observer)
            }
            #expect(try directory.names() == ["tiny.gguf"])
        }
    }

    @Test func progressAscendsToTheEnd() throws {
        let (directory, path) = try library()
        let seen = Mutex<[PackingProgress]>([])
        let observer = PackingObserver(progress: { step in seen.withLock { $0.append(step) } })
        let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
        _ = try job.run(processID: getpid(), observer: observer)
        let steps = seen.withLock { $0 }
        #expect(steps.count > 10)
        for (before, after) in zip(steps, steps.dropFirst()) {
            #expect(before.bytesDone <= after.bytesDone && after.bytesDone <= after.bytesTotal)
        }
        #expect(steps.last.map { $0.bytesDone == $0.bytesTotal } == true)
    }

    @Test func leftoversOfKilledImportsAreRemoved() throws {
        let (directory, path) = try library()
        // No process has this number: Linux ends at 2^22.
        try directory.write([1], to: ".old.sluice.partial-99999999")
        try directory.write([1], to: ".alive.sluice.partial-1")
        try directory.write([1], to: ".unrelated.partial-99999999")
        try directory.write([1], to: ".old.sluice.partial-x")
        // What is needed to go on with a source that is consumed has a journal.
        try directory.write([1], to: ".begun.sluice.consuming")
        try directory.write([1], to: ".needed.sluice.consuming")
        try directory.write([1], to: ".needed.sluice.consuming.journal")
        try directory.write([1], to: ".needed.sluice.consuming.journal.part-99999999-1")
        try directory.write([1], to: ".taken.sluice.consuming")
        let taken = try FileDescriptor(
            path: directory.file(".taken.sluice.consuming"), mode: .readWrite)
        #expect(try taken.lockForThisProcess())
        let job = try ImportJob(sourcePath: path, libraryDirectory: directory.path)
        _ = try job.run(processID: getpid())
        #expect(
            try directory.names() == [
                ".alive.sluice.partial-1", ".needed.sluice.consuming",
                ".needed.sluice.consuming.journal", ".old.sluice.partial-x",
                ".taken.sluice.consuming", ".unrelated.partial-99999999", "tiny.gguf",
                "tiny.sluice"
            ])
    }

    @Test(
        "a full disk is an error and leaves nothing",
        .enabled(if: geteuid() == 0, "mounts a file system: needs root"))
    func fullDisk() throws {
        let (directory, path) = try library()
        let small = directory.file("small")
        try FileSystem.createDirectory(small)
        guard unsafe mount("tmpfs", small, "tmpfs", 0, "size=64k") == 0 else {
            print("skipped: this root may not mount")
            _ = unsafe rmdir(small)
            return
        }
        defer {
            _ = unsafe umount(small)
            _ = unsafe rmdir(small)
        }
        let job = try ImportJob(sourcePath: path, libraryDirectory: small)
        let error = #expect(throws: PackingError.self) { try job.run(processID: getpid()) }
        guard case .destination(let cause) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.errorNumber == ENOSPC)
        #expect(try FileSystem.names(in: small).isEmpty)
    }

    @Test func destinationsThatCannotBeWritten() throws {
        let (directory, path) = try library()
        // A file where the library should be.
        let job = try ImportJob(sourcePath: path, libraryDirectory: path)
        let error = #expect(throws: PackingError.self) { try job.run(processID: getpid()) }
        guard case .destination = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try directory.names() == ["tiny.gguf"])
    }
}
