// Packing only rearranges: what comes back out of a packed file is the GGUF file's own bytes.

import Glibc
import ModelFamilies
import ModelFormat
import Packing
import Testing

@Suite struct RoundTripTests {
    /// Compares tensors of `parts` with the packed model, byte for byte: all of them, or every
    /// `step`th matrix and expert.
    private func compare(
        _ parts: [any ByteSource], _ unpacked: Unpacked, step: Int = 1
    ) throws {
        let gguf = try GGUFFile(parts: parts)
        func bytes(_ name: String) throws -> [UInt8] {
            let tensor = try #require(gguf.tensor(named: name), "\(name)")
            return try parts[tensor.part].packedBytes(
                at: tensor.offset, count: tensor.byteCount)
        }
        let manifest = unpacked.model.manifest
        var seen = manifest.rowTables.count
        for table in manifest.rowTables {
            #expect(try unpacked.rows(of: table) == bytes(TensorNames.rows(of: table)))
        }
        for (index, record) in manifest.matrices.enumerated() where index % step == 0 {
            var name = Self.name(of: record, gguf)
            if let layer = record.layer,
                let fused = Self.fusedMatrices.first(where: {
                    $0.roles.contains(record.role) && $0.holds(layer: layer, manifest, gguf)
                })
            {
                seen += record.role == fused.roles[0] ? 1 : 0
                let rows = try fused.rows(layer: layer, unpacked)
                #expect(try rows == bytes("blk.\(layer).\(fused.name).weight"), "\(fused.name)")
                continue
            }
            if record.role == .output, gguf.tensor(named: name) == nil {
                name = "token_embd.weight"
            } else {
                seen += 1
            }
            #expect(try unpacked.matrix(record.role, layer: record.layer) == bytes(name), "\(name)")
        }
        for record in manifest.experts {
            seen += try compareBiases(of: record, unpacked, step: step, bytes)
        }
        for record in manifest.experts {
            for expert in stride(from: 0, to: record.count, by: step) {
                let parts = try unpacked.expert(expert, layer: record.layer)
                for (part, found) in zip(["gate", "up", "down"].suffix(parts.count), parts) {
                    let split = "blk.\(record.layer).ffn_\(part).\(expert).weight"
                    if gguf.tensor(named: split) != nil {
                        seen += 1
                        #expect(try found == bytes(split), "\(split)")
                    } else {
                        seen += expert == 0 ? 1 : 0
                        let all = try bytes("blk.\(record.layer).ffn_\(part)_exps.weight")
                        let share = all.count / record.count
                        #expect(
                            found == Array(all[expert * share..<(expert + 1) * share]),
                            "\(part) of expert \(expert) of layer \(record.layer)")
                    }
                }
            }
        }
        for record in manifest.neurons ?? [] {
            let block = "blk.\(record.layer)."
            let found = try unpacked.neurons(layer: record.layer)
            let isGated = record.gate != nil
            seen += isGated ? 2 : 1
            let first = try bytes(block + (isGated ? "ffn_gate" : "ffn_up") + ".weight")
            #expect(found.first == (record.holdsFirst == false ? [] : first))
            #expect(try !isGated || found.up == bytes(block + "ffn_up.weight"))
            #expect(try found.down == bytes(block + "ffn_down.weight"), "\(block)")
        }
        seen += try compareVectors(gguf, unpacked, bytes)
        #expect(step > 1 || seen == gguf.tensors.count, "every tensor was compared")
    }

    /// Compares all vectors, and counts the tensors that they come from.
    private func compareVectors(
        _ gguf: GGUFFile, _ unpacked: Unpacked, _ bytes: (String) throws -> [UInt8]
    ) throws -> Int {
        var seen = 0
        for record in unpacked.model.manifest.vectors.entries {
            var name = Self.vectorNames[record.role, default: "?"]
            if let layer = record.layer { name = "blk.\(layer).\(name)" }
            if record.role == .convolution, gguf.tensor(named: name) == nil {
                name = name.replacing("ssm_conv1d", with: "shortconv.conv")
            }
            if record.role == .outputNorm, gguf.tensor(named: name) == nil {
                name = "token_embd_norm.weight"
            }
            if record.role == .feedForwardNorm, gguf.tensor(named: name) == nil {
                let after = name.replacing("ffn_norm", with: "post_attention_norm")
                let alone = name.replacing("ffn_norm", with: "attn_norm")
                name = gguf.tensor(named: after) == nil ? alone : after
            }
            if let place = Self.fusedVectors.firstIndex(of: record.role),
                let layer = record.layer, gguf.tensor(named: name) == nil
            {
                seen += place == 0 ? 1 : 0
                let parts = try Self.fusedVectors.map { try unpacked.vector($0, layer: layer) }
                #expect(try parts.flatMap(\.self) == bytes("blk.\(layer).attn_qkv.bias"))
                continue
            }
            if record.role == .expertSelectionBias, gguf.tensor(named: name) == nil {
                name = name.replacing(".bias", with: "")
            }
            let tensor = try #require(gguf.tensor(named: name), "\(name)")
            seen += 1
            guard tensor.type.format == .f32 else { continue }
            #expect(try unpacked.vector(record.role, layer: record.layer) == bytes(name), "\(name)")
        }
        return seen
    }

    /// Experts' biases; returns how many tensors they are from.
    private func compareBiases(
        of record: PackedExpertLayer, _ unpacked: Unpacked, step: Int,
        _ bytes: (String) throws -> [UInt8]
    ) throws -> Int {
        guard record.biasOffset != nil else { return 0 }
        for expert in stride(from: 0, to: record.count, by: step) {
            let biases = try unpacked.expertBiases(expert, layer: record.layer)
            for (part, found) in zip(["gate", "up", "down"], biases) {
                let all = try bytes("blk.\(record.layer).ffn_\(part)_exps.bias")
                let share = all.count / record.count
                #expect(found == Array(all[expert * share..<(expert + 1) * share]))
            }
        }
        return 3
    }

    private func roundTrip(_ tiny: TinyModel) throws {
        let directory = try TemporaryDirectory()
        let source = tiny.source()
        let (model, packed) = try pack([source], in: directory)
        try compare([source], Unpacked(model: model, source: packed))
        try PackedVerifier.verify(model, source: packed)
        #expect(try directory.names() == ["tiny.sluice"])
        let gguf = try GGUFFile(parts: [source])
        #expect(try model.vocabulary(from: packed) == gguf.vocabulary())
        #expect(try model.manifest.shape == gguf.shape())
        #expect(model.manifest.modelName == "tiny \(tiny.architecture)")
        #expect(model.manifest.source.byteCount == source.byteCount)
        #expect(model.manifest.conversions.isEmpty)
    }

    @Test(arguments: WeightFormat.allCases)
    func everyFormatDenseAndExperts(_ format: WeightFormat) throws {
        try roundTrip(TinyModel().with(format))
        try roundTrip(TinyModel(architecture: "qwen3moe", experts: 3).with(format))
    }

    @Test(arguments: ModelFamily.all.map(\.architecture).filter { !fixtureFamilies.contains($0) })
    func everyFamily(_ architecture: String) throws {
        var tiny = TinyModel(architecture: architecture, format: .q8_0)
        let others = [
            "smallthinker", "gpt-oss", "dots1", "bailingmoe2", "minimax-m2", "laguna", "qwen3next"
        ]
        if architecture.hasSuffix("moe") || others.contains(architecture) { tiny.experts = 4 }
        let dense = [
            "dots1", "bailingmoe2", "glm4moe", "ernie4_5-moe", "afmoe", "laguna", "lfm2moe"
        ]
        let leads = dense.contains(architecture)
        if leads { tiny.lead = 1 }
        let shared = ["qwen2moe", "qwen35moe", "qwen3next", "hunyuan-moe"]
        if leads && architecture != "lfm2moe" || shared.contains(architecture) {
            tiny.sharedFeedForward = 64
        }
        if ["bailingmoe2", "phi3"].contains(architecture) { tiny.isFused = true }
        try roundTrip(tiny)
        tiny.tied = true
        try roundTrip(tiny)
    }

    /// Query, key and value in one tensor, with a bias of all three or without.
    @Test(arguments: [WeightFormat.f32, .bf16, .q8_0, .q4_0, .q6_K])
    func fusedProjectionsAreTakenApart(_ format: WeightFormat) throws {
        for biases in [false, true] {
            try roundTrip(TinyModel(isFused: true, biases: biases).with(format))
        }
        // Biases of their own beside fused weights.
        let biases = [("q", 80), ("k", 40), ("v", 32)].map {
            (name: "blk.1.attn_\($0.0).bias", dimensions: [$0.1], format: WeightFormat.f32)
        }
        try roundTrip(TinyModel(isFused: true, extraTensors: biases))
    }

    /// Experts of some layers alone are written, and found, by their layers.
    @Test(arguments: [0, 1, 2, 3]) func denseLayersBeforeExperts(lead: Int) throws {
        try roundTrip(
            TinyModel(
                architecture: "dots1", format: .q4_0, layers: 3, lead: lead,
                selectionBias: lead == 1 ? "exp_probs_b" : "exp_probs_b.bias", experts: 4))
    }

    @Test(arguments: [WeightFormat.f32, .f16, .bf16, .q8_0, .q4_0])
    func neuronsOfEveryExactFormat(_ format: WeightFormat) throws {
        // Neurons that are no multiple of a bundle's, and several pieces of an import.
        for (width, neurons) in [(64, 160), (256, format.blockElements == 1 ? 4801 : 4832)] {
            let tiny = TinyModel(
                architecture: "arcee", format: format, layers: 2, width: width,
                feedForward: neurons)
            try roundTrip(tiny)
            let directory = try TemporaryDirectory()
            var gated = tiny
            gated.architecture = "llama"
            let (model, packed) = try pack([gated.source()], in: directory, activation: .relu)
            #expect(model.manifest.neurons?.count == 2)
            try compare([gated.source()], Unpacked(model: model, source: packed))
            try PackedVerifier.verify(model, source: packed)
            let whole = try pack([gated.source()], in: directory, name: "silu.sluice").model
            #expect(whole.manifest.neurons == nil)
            #expect(whole.manifest.source == model.manifest.source, "every byte counts once")
            let (silu, bundled) = try pack(
                [gated.source()], in: directory, name: "bundled.sluice", neurons: .bundled)
            let record = try #require(silu.manifest.neurons?.first)
            #expect(record.firstBytes == 0 && record.recordBytes == record.restBytes)
            #expect(silu.manifest.source == model.manifest.source, "every byte counts once")
            try compare([gated.source()], Unpacked(model: silu, source: bundled))
            try PackedVerifier.verify(silu, source: bundled)
        }
    }

    @Test func mixtralOfOldAndOfNewFiles() throws {
        try roundTrip(TinyModel(format: .q4_0, experts: 3, splitExperts: true))
        try roundTrip(TinyModel(format: .q4_0, experts: 3))
    }

    @Test func optionalVectors() throws {
        try roundTrip(TinyModel(biases: true, ropeFactors: true))
        try roundTrip(TinyModel(architecture: "nemotron", biases: true))
    }

    @Test func matricesOfSeveralExtentsAndBigExperts() throws {
        var tiny = TinyModel(layers: 1, width: 256, vocabulary: 2101, tied: true)
        try roundTrip(tiny)
        tiny.architecture = "olmoe"
        tiny.experts = 2
        tiny.feedForward = 1096
        try roundTrip(tiny)
        let directory = try TemporaryDirectory()
        let (model, _) = try pack([tiny.source()], in: directory)
        let output = try #require(model.manifest.matrix(.output))
        #expect(output.extentCount == 3)
        #expect(model.manifest.experts[0].up.byteCount > PackedLayout.extentBytesMax)
    }

    @Test(arguments: [WeightFormat.f16, .bf16])
    func halfPrecisionVectorsAreWidenedExactly(_ format: WeightFormat) throws {
        // Narrow vectors do not reach every pattern; a wide model with random bits does reach
        // subnormals, infinities and not-a-numbers of both formats.
        let tiny = TinyModel(vectorFormat: format, layers: 4, width: 2048, seed: 7)
        let directory = try TemporaryDirectory()
        let (model, packed) = try pack([tiny.source()], in: directory)
        let unpacked = Unpacked(model: model, source: packed)
        for layer in 0..<tiny.layers {
            let bytes = try #require(
                tiny.tensors().first { $0.name == "blk.\(layer).attn_norm.weight" }
            ).bytes
            let floats = try unpacked.vector(.attentionNorm, layer: layer)
            for index in 0..<tiny.width {
                let bits = UInt16(bytes[index * 2]) | UInt16(bytes[index * 2 + 1]) << 8
                let found = (0..<4).reduce(UInt32(0)) {
                    $0 | UInt32(floats[index * 4 + $1]) << UInt32($1 * 8)
                }
                if format == .bf16 {
                    #expect(found == UInt32(bits) << 16)
                } else {
                    let expected = Float(Float16(bitPattern: bits))
                    let value = Float(bitPattern: found)
                    #expect(
                        expected.isNaN
                            ? value.isNaN : expected.bitPattern == value.bitPattern)
                }
            }
        }
    }

    @Test func packingTwiceGivesTheSameBytes() throws {
        let directory = try TemporaryDirectory()
        let tiny = TinyModel(architecture: "qwen3moe", experts: 2).with(.q4_K)
        let first = try contents(pack([tiny.source()], in: directory, name: "a.sluice").source)
        let second = try contents(pack([tiny.source()], in: directory, name: "b.sluice").source)
        #expect(first == second)
    }

    @Test func anyChangedWeightChangesTheDigest() throws {
        let directory = try TemporaryDirectory()
        let first = try pack([TinyModel().source()], in: directory, name: "a.sluice").model
        let second = try pack([TinyModel(seed: 2).source()], in: directory, name: "b.sluice").model
        #expect(first.manifest.source.digest != second.manifest.source.digest)
        #expect(
            first.manifest.source.digest.wholeMatch(of: /crc32c:[0-9a-f]{8}-[0-9a-f]{8}/) != nil)
    }

    @Test(
        "the real models round-trip",
        .enabled(if: !Fixtures.sharedModels.isEmpty, "needs models in ../shared/models"),
        arguments: Fixtures.sharedModels)
    func realModels(_ path: String) throws {
        let directory = try TemporaryDirectory()
        let source = try FileByteSource(path: path)
        let (model, packed) = try pack([source], in: directory)
        // Debug builds take minutes for all of it.
        try compare([source], Unpacked(model: model, source: packed), step: 17)
        try PackedVerifier.verify(model, source: packed)
    }

    @Test func modelOfSeveralParts() throws {
        let directory = try TemporaryDirectory()
        let sources = try (1...3).map {
            try FileByteSource(
                path: Fixtures.gguf + "tiny-split-0000\($0)-of-00003.gguf")
        }
        let (model, packed) = try pack(sources, in: directory)
        try compare(sources, Unpacked(model: model, source: packed))
        try PackedVerifier.verify(model, source: packed)
    }

    @Test(arguments: ["tiny-v2.gguf", "tiny-v3.gguf", "tiny-experts.gguf"])
    func fixtureFiles(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let source = try FileByteSource(path: Fixtures.gguf + name)
        let (model, packed) = try pack([source], in: directory)
        try compare([source], Unpacked(model: model, source: packed))
        try PackedVerifier.verify(model, source: packed)
    }

    /// Families whose shapes ``TinyModel`` does not make.
    static let fixtureFamilies: Set = [
        "deepseek2", "nemotron_h", "nemotron_h_moe", "gemma4", "bailingmoe3", "opt"
    ]

    /// At least one of each of those.
    @Test(arguments: [
        "deepseek2-lite", "deepseek2-q8_0", "nemotron_h", "nemotron_h_moe", "gemma4", "bailingmoe3",
        "gemma4-shared", "gemma4-shared-q8_0", "opt", "opt-q8_0"
    ])
    func fixtureModels(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let source = try FileByteSource(path: Fixtures.root + "/Tests/Fixtures/models/\(name).gguf")
        let (model, packed) = try pack([source], in: directory)
        try compare([source], Unpacked(model: model, source: packed))
        try PackedVerifier.verify(model, source: packed)
    }

    /// What the file calls a matrix.
    private static func name(of record: PackedMatrix, _ gguf: GGUFFile) -> String {
        var name = matrixNames[record.role, default: "?"] + ".weight"
        let isOfModel = record.role == .layerEmbeddingProjection
        if let layer = record.layer, !isOfModel { name = "blk.\(layer).\(name)" }
        guard gguf.tensor(named: name) == nil else { return name }
        return TensorNames.otherMatrix(record.role, layer: record.layer) ?? name
    }

    static let matrixNames: [MatrixRole: String] = [
        .attentionQuery: "attn_q", .attentionKey: "attn_k", .attentionValue: "attn_v",
        .attentionGate: "attn_gate", .attentionOutput: "attn_output", .router: "ffn_gate_inp",
        .feedForwardGate: "ffn_gate",
        .feedForwardUp: "ffn_up", .feedForwardDown: "ffn_down",
        .sharedExpertGate: "ffn_gate_shexp", .sharedExpertUp: "ffn_up_shexp",
        .sharedExpertDown: "ffn_down_shexp", .output: "output",
        .convolutionOutput: "shortconv.out_proj", .stateInput: "attn_qkv",
        .stateGate: "attn_gate", .stateStep: "ssm_beta", .stateDecay: "ssm_alpha",
        .stateOutput: "ssm_out", .queryCompression: "attn_q_a", .latentKeys: "attn_k_b",
        .latentValues: "attn_v_b", .layerEmbeddingProjection: "per_layer_model_proj",
        .layerEmbeddingGate: "inp_gate", .layerEmbeddingOutput: "proj"
    ]

    /// What one tensor may hold, in the order of its rows.
    struct Fused {
        let name: String
        let roles: [MatrixRole]
        let isByHead: Bool

        /// Whether the file has it, and none of what it holds.
        func holds(layer: Int, _ manifest: PackedManifest, _ gguf: GGUFFile) -> Bool {
            gguf.tensor(named: "blk.\(layer).\(name).weight") != nil
                && roles.allSatisfy { role in
                    let own = RoundTripTests.matrixNames[role, default: "?"]
                    return manifest.matrix(role, layer: layer) != nil
                        && (own == name || gguf.tensor(named: "blk.\(layer).\(own).weight") == nil)
                }
        }

        /// Its bytes, from the matrices that were packed of it.
        func rows(layer: Int, _ unpacked: Unpacked) throws -> [UInt8] {
            let parts = try roles.map { try unpacked.matrix($0, layer: layer) }
            let layers = unpacked.model.manifest.shape.layers
            let groups = isByHead ? layers[layer].fusedHeadCount : 1
            return (0..<groups).flatMap { group in
                parts.flatMap { part in
                    let share = part.count / groups
                    return part[group * share..<(group + 1) * share]
                }
            }
        }
    }

    static let fusedMatrices = [
        Fused(
            name: "attn_qkv", roles: [.attentionQuery, .attentionKey, .attentionValue],
            isByHead: false),
        Fused(name: "attn_q", roles: [.attentionQuery, .attentionGate], isByHead: true),
        Fused(name: "attn_q_b", roles: [.plainQuery, .turnedQuery], isByHead: true),
        Fused(name: "attn_q", roles: [.plainQuery, .turnedQuery], isByHead: true),
        Fused(name: "attn_kv_a_mqa", roles: [.latent, .turnedKey], isByHead: false),
        Fused(
            name: "shortconv.in_proj",
            roles: [.convolutionBefore, .convolutionAfter, .convolutionInput], isByHead: false),
        Fused(name: "ssm_ba", roles: [.stateStep, .stateDecay], isByHead: true),
        Fused(
            name: "ssm_in", roles: [.stateGate, .stateInput, .stateStep], isByHead: false),
        Fused(name: "ffn_up", roles: [.feedForwardGate, .feedForwardUp], isByHead: false)
    ]
    static let fusedVectors = [VectorRole.queryBias, .keyBias, .valueBias]

    static let vectorNames: [VectorRole: String] = [
        .afterAttentionNorm: "post_attention_norm.weight",
        .afterLayerEmbeddingNorm: "post_norm.weight",
        .layerEmbeddingProjectionNorm: "per_layer_proj_norm.weight",
        .afterFeedForwardNorm: "post_ffw_norm.weight",
        .attentionNorm: "attn_norm.weight", .feedForwardNorm: "ffn_norm.weight",
        .attentionNormBias: "attn_norm.bias", .feedForwardNormBias: "ffn_norm.bias",
        .outputNormBias: "output_norm.bias",
        .outputNorm: "output_norm.weight", .queryNorm: "attn_q_norm.weight",
        .keyNorm: "attn_k_norm.weight", .queryBias: "attn_q.bias", .keyBias: "attn_k.bias",
        .valueBias: "attn_v.bias", .attentionOutputBias: "attn_output.bias",
        .attentionSinks: "attn_sinks.weight", .routerBias: "ffn_gate_inp.bias",
        .feedForwardGateBias: "ffn_gate.bias", .feedForwardUpBias: "ffn_up.bias",
        .feedForwardDownBias: "ffn_down.bias",
        .sharedExpertRouter: "ffn_gate_inp_shexp.weight",
        .expertSelectionBias: "exp_probs_b.bias",
        .ropeFactorsShort: "rope_factors_short.weight",
        .ropeFactorsLong: "rope_factors_long.weight",
        .ropeFrequencyFactors: "rope_freqs.weight", .convolution: "ssm_conv1d.weight",
        .convolutionBias: "ssm_conv1d.bias", .stateSkip: "ssm_d",
        .stateStepBias: "ssm_dt.bias", .stateDecayFactors: "ssm_a",
        .queryConvolution: "ssm_conv1d_q.weight", .keyConvolution: "ssm_conv1d_k.weight",
        .valueConvolution: "ssm_conv1d_v.weight",
        .afterDenseNorm: "post_ffw_norm_1.weight", .expertsNorm: "pre_ffw_norm_2.weight",
        .afterExpertsNorm: "post_ffw_norm_2.weight", .routerScale: "ffn_gate_inp.scale",
        .expertScales: "ffn_down_exps.scale", .layerScale: "layer_output_scale.weight",
        .stateNorm: "ssm_norm.weight", .queryCompressionNorm: "attn_q_a_norm.weight",
        .latentNorm: "attn_kv_a_norm.weight"
    ]
}
