// Files that say what another file says in other words: they become the same model, or are refused
// by what they are.

import Glibc
import LinuxSystem
import ModelFamilies
import ModelFormat
import Packing
import TestSupport
import Testing

/// A fixture that is written anew, with changes.
private struct Rewriting {
    private let source: ByteArraySource
    private let file: GGUFFile
    var key: (String) -> String? = { $0 }
    var tensor: (String) -> String = { $0 }
    /// Tensors of zeros behind the others: names and numbers of floats.
    var extraTensors: [(name: String, count: Int)] = []
    var add: (inout GGUFBuilder) -> Void = { _ in }
    /// Whether `attn_k_b` and `attn_v_b`, of floats, become one.
    var joinsLatents: (heads: Int, rank: Int, plain: Int, value: Int)?

    static let folder =
        FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        + "/Tests/Fixtures/models/"

    init(_ name: String) throws {
        let bytes = try #require(fileBytes(Self.folder + name + ".gguf"))
        source = ByteArraySource(name: name + ".gguf", bytes: bytes)
        file = try GGUFFile(parts: [source])
    }

    var tensorCount: Int { file.tensors.count }

    private func addMetadata(to builder: inout GGUFBuilder) throws {
        for entry in file.metadata.entries {
            guard let name = key(entry.key) else { continue }
            let count = Int(entry.payload.upperBound - entry.payload.lowerBound)
            var bytes = try source.packedBytes(at: entry.payload.lowerBound, count: count)
            if entry.type == .string { bytes = GGUFBuilder.number(UInt64(count)) + bytes }
            if let type = entry.elementType {
                bytes = GGUFBuilder.number(type.rawValue) + GGUFBuilder.number(entry.count) + bytes
            }
            builder.add(name, type: entry.type.rawValue, bytes: bytes)
        }
        add(&builder)
    }

    /// Of each head keys' rows, which are columns of `keys`, then values'.
    private func joined(
        _ keys: GGUFTensor, _ sizes: (heads: Int, rank: Int, plain: Int, value: Int)
    ) throws -> [UInt8] {
        let name = keys.name.replacing("attn_k_b", with: "attn_v_b")
        let values = try #require(file.tensor(named: name))
        let k = try source.packedBytes(at: keys.offset, count: keys.byteCount)
        let v = try source.packedBytes(at: values.offset, count: values.byteCount)
        var result: [UInt8] = []
        for head in 0..<sizes.heads {
            for column in 0..<sizes.plain {
                for row in 0..<sizes.rank {
                    let place = ((head * sizes.rank + row) * sizes.plain + column) * 4
                    result += k[place..<place + 4]
                }
            }
            let count = sizes.value * sizes.rank * 4
            result += v[head * count..<(head + 1) * count]
        }
        return result
    }

    /// - Parameter range: which of the tensors.
    func bytes(metadata: Bool = true, tensors range: Range<Int>? = nil) throws -> [UInt8] {
        var builder = GGUFBuilder()
        if metadata { try addMetadata(to: &builder) } else { add(&builder) }
        func put(_ name: String, _ dimensions: [Int], _ type: UInt32, _ bytes: [UInt8]) {
            builder.addTensor(
                name, dimensions.map(UInt64.init), type: type, offset: UInt64(builder.data.count))
            builder.data += bytes
            while builder.data.count % builder.alignment != 0 { builder.data.append(0) }
        }
        for entry in file.tensors[range ?? 0..<tensorCount] {
            if joinsLatents != nil, entry.name.hasSuffix(".attn_v_b.weight") { continue }
            if let sizes = joinsLatents, entry.name.hasSuffix(".attn_k_b.weight") {
                let name = entry.name.replacing("attn_k_b", with: "attn_kv_b")
                let rows = sizes.heads * (sizes.plain + sizes.value)
                put(name, [sizes.rank, rows], entry.type.number, try joined(entry, sizes))
                continue
            }
            put(
                tensor(entry.name), entry.dimensions, entry.type.number,
                try source.packedBytes(at: entry.offset, count: entry.byteCount))
        }
        for (name, count) in extraTensors {
            put(name, [count], 0, [UInt8](repeating: 0, count: count * 4))
        }
        return builder.bytes()
    }
}

@Suite struct FileRepairTests {
    /// What is packed of a file, without what tells where it came from, and its repairs.
    private func packed(
        _ bytes: [UInt8]
    ) throws -> (weights: ArraySlice<UInt8>, shape: ModelShape, repairs: [String]) {
        let directory = try TemporaryDirectory()
        try directory.write(bytes, to: "m.gguf")
        let job = try ImportJob(
            sourcePath: directory.file("m.gguf"), libraryDirectory: directory.path)
        let result = try job.run(processID: getpid())
        let source = try FileByteSource(path: result.path)
        let model = try PackedModel(source: source)
        try PackedVerifier.verify(model, source: source)
        let end = Int(try PackedHeader(source: source).manifest.offset)
        let all = try #require(fileBytes(result.path))
        return (all[PackedLayout.headerBytes..<end], model.manifest.shape, result.repairs)
    }

    /// Both become the same model, and the one's repairs are `repairs`.
    private func compare(
        _ changed: Rewriting, with plain: Rewriting, repairs: [String]
    ) throws {
        let expected = try packed(plain.bytes())
        let found = try packed(changed.bytes())
        #expect(expected.repairs == [])
        #expect(found.repairs == repairs)
        #expect(found.shape == expected.shape)
        let isSame = found.weights == expected.weights
        #expect(isSame)
    }

    private func prefixed(_ key: String, _ old: String, _ new: String) -> String {
        key.hasPrefix(old + ".") ? new + key.dropFirst(old.count) : key
    }

    @Test func gptossIsGPTOSS() throws {
        var plain = try Rewriting("gpt-oss")
        plain.key = { $0 == "tokenizer.ggml.pre" ? nil : $0 }
        plain.add = { $0.add("tokenizer.ggml.pre", "gpt-4o") }
        var changed = try Rewriting("gpt-oss")
        changed.key = { key in
            let isMissing = [
                "general.architecture", "gpt-oss.expert_feed_forward_length",
                "gpt-oss.rope.scaling.type", "tokenizer.ggml.pre"
            ].contains(key)
            return isMissing ? nil : self.prefixed(key, "gpt-oss", "gptoss")
        }
        changed.tensor = {
            $0.replacing("attn_output", with: "attn_out")
                .replacing("attn_sinks.weight", with: "attn_sinks")
                .replacing("post_attention_norm", with: "ffn_norm")
        }
        changed.add = { $0.add("general.architecture", "gptoss") }
        try compare(
            changed, with: plain,
            repairs: [
                "architecture gptoss is gpt-oss", "attn_out.bias is attn_output.bias",
                "attn_out.weight is attn_output.weight", "attn_sinks is attn_sinks.weight",
                "expert_feed_forward_length is 24, as blk.0.ffn_gate_exps.weight has it",
                "rope.scaling.type is yarn", "tokenizer.ggml.pre is gpt-4o"
            ])
    }

    @Test func glm4moeliteIsDeepSeek2() throws {
        var changed = try Rewriting("deepseek2-lite")
        changed.key = {
            $0 == "general.architecture" ? nil : self.prefixed($0, "deepseek2", "glm4moelite")
        }
        changed.add = { $0.add("general.architecture", "glm4moelite") }
        try compare(
            changed, with: try Rewriting("deepseek2-lite"),
            repairs: ["architecture glm4moelite is deepseek2"])
    }

    @Test func scalesOfExpertsByAnotherName() throws {
        var changed = try Rewriting("gemma4-moe")
        changed.tensor = {
            $0.replacing("ffn_down_exps.scale", with: "ffn_gate_inp.per_expert_scale")
        }
        try compare(
            changed, with: try Rewriting("gemma4-moe"),
            repairs: ["ffn_gate_inp.per_expert_scale is ffn_down_exps.scale"])
    }

    /// One matrix that makes keys and values of latents, as files from before 2025-04 have it.
    @Test func latentsBeforeTheyWereSplit() throws {
        let plain = try Rewriting("deepseek2-lite")
        var changed = plain
        changed.key = {
            $0.hasSuffix("_length_mla") || $0.hasSuffix("attention.key_length")
                || $0.hasSuffix("attention.value_length")
                || $0.hasSuffix("head_count_kv") ? nil : $0
        }
        changed.add = {
            $0.add("deepseek2.attention.key_length", UInt32(12))
            $0.add("deepseek2.attention.value_length", UInt32(16))
            $0.add("deepseek2.attention.head_count_kv", UInt32(2))
        }
        changed.joinsLatents = (heads: 2, rank: 16, plain: 8, value: 16)
        try compare(
            changed, with: plain, repairs: ["attn_kv_b is attn_k_b and attn_v_b"])
        let bytes = try changed.bytes()
        let stream = SequentialSource(PiecewiseStream(bytes))
        let packer = try Packer(parts: [stream])
        let directory = try TemporaryDirectory()
        #expect(throws: PackingError.self) {
            try packer.write(
                to: directory.file("m.sluice"), overwrite: false, processID: getpid())
        }
    }

    /// Keys of layers that read those of earlier ones are in some files, and of no use.
    @Test func keysThatNoLayerReadsAreLeftOut() throws {
        let plain = try Rewriting("gemma4-shared")
        var changed = plain
        changed.extraTensors = [
            ("blk.3.attn_k.weight", 64), ("blk.5.attn_v.weight", 32),
            ("blk.4.attn_k_norm.weight", 32)
        ]
        try compare(changed, with: plain, repairs: [])
        let source = ByteArraySource(name: "m.gguf", bytes: try changed.bytes())
        let found = try #require(try Packer(parts: [source]).leftOut)
        #expect(found.bytes == LeftOutBytes(unreadKeys: 128 * 4))
        #expect(
            found.sentence { "\($0) B" } == "keys of layers that read those of others, 512 B")
        changed.extraTensors = [("blk.3.attn_k.bias", 64)]
        let other = ByteArraySource(name: "m.gguf", bytes: try changed.bytes())
        #expect(throws: (any Error).self) { try Packer(parts: [other]) }
    }

    @Test func olmo3IsOLMo2() throws {
        var changed = try Rewriting("olmo2")
        changed.key = {
            $0 == "general.architecture" ? nil : self.prefixed($0, "olmo2", "olmo3")
        }
        changed.add = { $0.add("general.architecture", "olmo3") }
        try compare(
            changed, with: try Rewriting("olmo2"), repairs: ["architecture olmo3 is olmo2"])
    }

    @Test(arguments: ["qwen35", "qwen35moe", "qwen3next"])
    func stepsBiasesMayLackTheirEnding(name: String) throws {
        let plain = try Rewriting(name)
        var changed = plain
        changed.tensor = { $0.replacing("ssm_dt.bias", with: "ssm_dt") }
        // Heads of keys layer by layer, none where there is no attention.
        let shape = try packed(plain.bytes()).shape
        let counts = shape.layers.map { layer -> Int32 in
            guard case .attention(let mixer) = layer.mixer else { return 0 }
            return Int32(mixer.keyValueHeadCount)
        }
        changed.key = { $0.hasSuffix(".attention.head_count_kv") ? nil : $0 }
        changed.add = { $0.add("\(name).attention.head_count_kv", counts) }
        #expect(counts.contains(0) && counts.contains { $0 > 0 })
        try compare(changed, with: plain, repairs: ["ssm_dt is ssm_dt.bias"])
    }

    @Test func tensorsAreTrustedMoreThanKeys() throws {
        var changed = try Rewriting("lfm2")
        changed.key = { $0 == "lfm2.feed_forward_length" ? nil : $0 }
        changed.tensor = { $0.replacing("token_embd_norm", with: "output_norm") }
        changed.add = { $0.add("lfm2.feed_forward_length", UInt32(72)) }
        try compare(
            changed, with: try Rewriting("lfm2"),
            repairs: ["feed_forward_length is 40, as blk.0.ffn_gate.weight has it"])
    }

    /// Unknown names of known things would be left out silently.
    @Test func mistralsOtherKeysAreRead() throws {
        var changed = try Rewriting("mistral3")
        changed.key = {
            $0.replacing("yarn_log_multiplier", with: "mscale_all_dim")
                .replacing("attention.temperature_scale", with: "rope.scaling_beta")
        }
        try compare(
            changed, with: try Rewriting("mistral3"),
            repairs: [
                "rope.scaling.mscale_all_dim is rope.scaling.yarn_log_multiplier",
                "rope.scaling_beta is attention.temperature_scale"
            ])
    }

    @Test func imagesAndSoundAreLeftOut() throws {
        var changed = try Rewriting("gemma3")
        changed.extraTensors = [
            ("v.blk.0.attn_q.weight", 400_000), ("mm.0.weight", 8), ("a.conv.weight", 8)
        ]
        try compare(
            changed, with: try Rewriting("gemma3"),
            repairs: ["2 MiB for images, sound or drafts are left out"])
    }

    @Test func llama3sFirstFilesAreCutAsItsOthers() throws {
        for (count, expected) in [(128_256, "llama-bpe"), (128_255, nil)] {
            var builder = GGUFBuilder()
            builder.add("general.architecture", "llama")
            builder.add("tokenizer.ggml.model", "gpt2")
            builder.add("tokenizer.ggml.tokens", (0..<count).map { "t\($0)" })
            builder.add("tokenizer.ggml.merges", ["t 1"])
            let source = ByteArraySource(name: "llama3.gguf", bytes: builder.bytes())
            let file = try GGUFFile(parts: [source]).repaired().file
            #expect(try file.vocabulary().preTokenizer == expected)
        }
    }

    @Test(arguments: [
        ("general.type", "mmproj", "an encoder of images or sound (mmproj)"),
        ("general.type", "adapter", "an adapter (LoRA)"),
        ("general.type", "imatrix", "an importance matrix"),
        ("general.architecture", "clip", "an encoder of images or sound (mmproj)")
    ])
    func whatIsNoModelIsRefusedByWhatItIs(key: String, value: String, said: String) throws {
        var changed = try Rewriting("llama")
        changed.key = { $0 == key ? nil : $0 }
        changed.add = { $0.add(key, value) }
        let error = #expect(throws: PackingError.self) { try packed(changed.bytes()) }
        let expected = "m.gguf: expected a model, found \(said): "
        #expect(error?.description.hasPrefix(expected) == true)
    }

    @Test func draftsAloneAreNoModel() throws {
        var changed = try Rewriting("glm4moe")
        changed.tensor = {
            $0.hasPrefix("blk.") ? $0.replacing("blk.", with: "blk.9") : $0
        }
        let error = #expect(throws: PackingError.self) { try packed(changed.bytes()) }
        #expect(error?.description.contains("found layers that only draft (MTP)") == true)
    }

    // MARK: Parts and names

    /// A first part without tensors, and a stem that has its suffix already.
    @Test(arguments: ["m", "m.gguf"], [".gguf", ".GGUF"])
    func firstPartsMayHoldNoTensors(stem: String, suffix: String) throws {
        var rewriting = try Rewriting("llama")
        let count = rewriting.tensorCount
        let whole = try packed(rewriting.bytes())
        let directory = try TemporaryDirectory()
        for (index, range) in [0..<0, 0..<count / 2, count / 2..<count].enumerated() {
            rewriting.add = {
                $0.add("split.no", UInt32(index))
                $0.add("split.count", UInt32(3))
                $0.add("split.tensors.count", UInt32(count))
            }
            try directory.write(
                rewriting.bytes(metadata: index == 0, tensors: range),
                to: "\(stem)-0000\(index + 1)-of-00003\(suffix)")
        }
        let job = try ImportJob(
            sourcePath: directory.file("\(stem)-00001-of-00003\(suffix)"),
            libraryDirectory: directory.path)
        #expect(job.name == "m")
        let result = try job.run(processID: getpid())
        let bytes = try #require(fileBytes(result.path))
        let isSame = bytes.dropFirst(PackedLayout.headerBytes).starts(with: whole.weights)
        #expect(isSame)
    }

    /// Ollama keeps models under their digests.
    @Test func blobsNeedNoSuffix() throws {
        let name = "sha256-" + String(repeating: "0123456789abcdef", count: 4)
        let directory = try TemporaryDirectory()
        try directory.write(try Rewriting("llama").bytes(), to: name)
        let job = try ImportJob(
            sourcePath: directory.file(name), libraryDirectory: directory.path)
        #expect(try job.run(processID: getpid()).path == directory.file(name + ".sluice"))
    }
}
