// Gemma 4, whose layers differ in heads and widths.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

extension FamilyShapeTests {
    func gemma4(
        heads: [Int32] = [4, 4, 2, 4], widths: [Int32] = [96, 96, 96, 128],
        pattern: [Bool] = [true, true, false, true],
        _ add: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> ModelShape {
        try shape("gemma4", without: "feed_forward_length") {
            $0.add("gemma4.attention.head_count_kv", heads)
            $0.add("gemma4.feed_forward_length", widths)
            $0.add("gemma4.attention.sliding_window", UInt32(64))
            $0.add("gemma4.attention.sliding_window_pattern", pattern)
            for name in ["key_length", "value_length"] {
                $0.add("gemma4.attention.\(name)", UInt32(64))
                $0.add("gemma4.attention.\(name)_swa", UInt32(32))
            }
            $0.add("gemma4.rope.dimension_count_swa", UInt32(32))
            $0.add("gemma4.rope.freq_base", Float(1_000_000))
            $0.add("gemma4.rope.freq_base_swa", Float(10_000))
            add(&$0)
        }
    }

    @Test func headsOfGemma4() throws {
        let shape = try gemma4()
        #expect(shape.attentions.map(\.keyValueHeadCount) == [4, 4, 2, 4])
        #expect(shape.attentions.map(\.keyHeadWidth) == [32, 32, 64, 32])
        #expect(shape.attentions.map { $0.rope?.base } == [10_000, 10_000, 1_000_000, 10_000])
        #expect(shape.attentions.allSatisfy { $0.normsValues && $0.scale == 1 })
        // There is no tensor of values.
        #expect(shape.attentions.allSatisfy { $0.valuesAreKeys == true })
        #expect(shape.layers.map { $0.feedForward.dense?.width } == [96, 96, 96, 128])
        // 4 heads of 32 are as much as 2 of 64.
        #expect(shape.cacheLayers.count == 4 && !shape.choosesByKeys)
        let more = try gemma4(heads: [8, 8, 2, 8])
        #expect(more.cacheLayers.map(\.headCount) == [4, 4, 4, 4, 2, 4, 4])
        #expect(more.cacheLayers.map(\.window) == [64, 64, 64, 64, nil, 64, 64])
        #expect((0..<4).map { more.cacheLayers(of: $0) } == [0..<2, 2..<4, 4..<5, 5..<7])
        // One head of a window's may be all that fits.
        let fewer = try gemma4(heads: [8, 8, 1, 8])
        #expect(fewer.cacheLayers.map(\.headCount) == [2, 2, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2])
        expectRefused("divisors of the 8 heads, found 3") { try self.gemma4(heads: [3, 4, 2, 4]) }
        expectRefused("a width up to") { try self.gemma4(widths: [96, 0, 96, 96]) }
    }

    /// The last layers read what the last ones of their kind have stored; each has an embedding.
    @Test func theEModelsOfGemma4() throws {
        func shared(_ count: UInt32, embedding: UInt32 = 16) throws -> ModelShape {
            try gemma4(heads: [4, 2, 4, 2], pattern: [true, false, true, false]) {
                $0.add("gemma4.attention.shared_kv_layers", count)
                $0.add("gemma4.embedding_length_per_layer_input", embedding)
            }
        }
        let none = try shared(0, embedding: 0)
        #expect(!none.sharesKeys && none.layerEmbeddingWidth == nil)
        let shape = try shared(2)
        #expect(shape.notComputed == nil && shape.sharesKeys && !shape.choosesByKeys)
        #expect(shape.attentions.map(\.keyValueLayer) == [nil, nil, 0, 1])
        #expect(shape.layers.allSatisfy { $0.mixer.attention?.valuesAreKeys != false })
        #expect(shape.attentions.map(\.normsValues) == [true, true, false, false])
        // What is read later is kept whole.
        #expect(shape.cacheLayers.map(\.window) == [nil, nil])
        #expect((0..<4).map { shape.cacheLayers(of: $0) } == [0..<1, 1..<2, 0..<1, 1..<2])
        #expect(shape.layerEmbeddingWidth == 16 && shape.layerEmbeddingsWidth == 64)
        #expect(shape.matrices(of: 0, bundlesNeurons: false)[0].role == .layerEmbeddingProjection)
        #expect(
            shape.matrices(of: 3, bundlesNeurons: false).map(\.role) == [
                .attentionQuery, .attentionOutput, .feedForwardGate, .feedForwardUp,
                .feedForwardDown, .layerEmbeddingGate, .layerEmbeddingOutput
            ])
        let mixed = KVFormat(keys: .eight, values: .four)
        #expect(shape.keyValueFormat(wished: KVFormat(.four)) == mixed)
        #expect(shape.keyValueFormat(wished: KVFormat(.half)) == KVFormat(.half))
        #expect(none.keyValueFormat(wished: KVFormat(.two)) == KVFormat(.two))
        expectRefused("at least 2 fewer than the 4 layers, found 3") { try shared(3) }
        expectRefused("shared_kv_layers") { try shared(5) }
    }

    /// Layers with a router have experts beside their dense network.
    @Test func mixturesOfGemma4() throws {
        func mixture(_ add: (inout GGUFBuilder) -> Void) throws -> ModelShape {
            try gemma4 {
                $0.add("gemma4.expert_count", UInt32(8))
                $0.add("gemma4.expert_used_count", UInt32(2))
                $0.add("gemma4.expert_feed_forward_length", UInt32(32))
                $0.add("gemma4.expert_gating_func", UInt32(2))
                add(&$0)
            }
        }
        #expect(try mixture { _ in }.mixtures.isEmpty)
        let shape = try mixture {
            let names = [
                "ffn_gate_inp.weight", "ffn_down_exps.scale", "layer_output_scale.weight"
            ]
            for (index, name) in names.enumerated() {
                $0.addTensor("blk.2.\(name)", [8], offset: UInt64(32 * index))
            }
            $0.data = Array(repeating: 0, count: 32 * names.count)
        }
        #expect(shape.mixtures.map(\.layer) == [2])
        #expect(shape.layers.map(\.feedForward.isBoth) == [false, false, true, false])
        #expect(shape.layers.map(\.hasOutputScale) == [false, false, true, false])
        let experts = try #require(shape.experts)
        #expect(experts.routerInput == .scaled && experts.hasScales == true)
        #expect(experts.gating == .softmax && experts.normalizesWeights)
    }
}
