// Families whose values are keys too.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

extension FamilyShapeTests {
    private func deepseek(
        rank: UInt32 = 32, key: UInt32 = 24, value: UInt32 = 16,
        _ add: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> ModelShape {
        try shape("deepseek2", without: "attention.head_count_kv") {
            $0.add("deepseek2.attention.head_count_kv", UInt32(1))
            $0.add("deepseek2.attention.kv_lora_rank", rank)
            $0.add("deepseek2.attention.key_length_mla", key)
            $0.add("deepseek2.attention.value_length_mla", value)
            $0.add("deepseek2.rope.dimension_count", UInt32(8))
            $0.add("deepseek2.expert_count", UInt32(8))
            $0.add("deepseek2.expert_used_count", UInt32(2))
            $0.add("deepseek2.expert_feed_forward_length", UInt32(32))
            add(&$0)
        }
    }

    @Test func latentsOfDeepSeek() throws {
        let shape = try deepseek()
        let latent = try #require(shape.latents.first)
        #expect(shape.latents.count == shape.layerCount && latent.queryRank == nil)
        #expect(latent.plainHeadWidth == 16 && latent.turnedHeadWidth == 8)
        #expect(latent.valueHeadWidth == 16 && latent.keyValueRank == 32)
        #expect(abs(latent.scale - 1 / Float(24).squareRoot()) < 1e-7)
        #expect(shape.attention.keyValueHeadCount == 1 && shape.attention.keyHeadWidth == 8)
        #expect(shape.attention.valueHeadWidth == 32)
        #expect(shape.experts?.gating == .softmax && shape.experts?.normalizesWeights == false)
        expectRefused("more than the 8 that turn, found 8") { try self.deepseek(key: 8) }
        expectRefused("latents or heads of values whose width is no multiple of 16") {
            try self.deepseek(value: 20)
        }
        expectRefused("none with latent attention") {
            try self.deepseek { $0.add("deepseek2.attention.temperature_scale", Float(0.1)) }
        }
    }

    /// The rotation itself is not scaled where the file says what scores are scaled by.
    @Test func latentScoresGrowWithYaRN() throws {
        func yarn(_ multiplier: Float?) throws -> LatentMixer? {
            try deepseek {
                $0.add("deepseek2.rope.scaling.type", "yarn")
                $0.add("deepseek2.rope.scaling.factor", Float(4))
                $0.add("deepseek2.rope.scaling.original_context_length", UInt32(64))
                guard let multiplier else { return }
                $0.add("deepseek2.rope.scaling.yarn_log_multiplier", multiplier)
            }.latents.first
        }
        let growth = Float(1.3862944)
        for (multiplier, magnitude, rotation) in [
            (0.07 as Float?, 1 + 0.07 * growth, 1 / (1 + 0.1 * growth)),
            (nil, 1 + 0.1 * growth, 1)
        ] {
            let latent = try #require(try yarn(multiplier))
            let scale = magnitude * magnitude / Float(24).squareRoot()
            #expect(abs(latent.scale - scale) < 1e-6)
            guard case .yarn(let yarn) = latent.rope?.scaling else {
                Issue.record("no YaRN")
                continue
            }
            #expect(abs(yarn.attentionFactor - rotation) < 1e-6)
        }
    }
}

extension FamilyShapeTests {
    private func ling(_ add: (inout GGUFBuilder) -> Void = { _ in }) throws -> ModelShape {
        try shape("bailingmoe3") {
            $0.add("bailingmoe3.attention.head_count_kv", [0, 0, 0, 1] as [Int32])
            let counts: [(String, UInt32)] = [
                ("attention.kv_lora_rank", 32), ("attention.key_length_mla", 24),
                ("attention.value_length_mla", 16), ("rope.dimension_count", 8),
                ("expert_count", 8), ("expert_used_count", 2), ("expert_feed_forward_length", 32),
                ("expert_shared_count", 1), ("ssm.conv_kernel", 4), ("kda.head_dim", 32)
            ]
            for (name, count) in counts { $0.add("bailingmoe3.\(name)", count) }
            $0.add("bailingmoe3.kda.gate_lower_bound", Float(-5))
            add(&$0)
        }
    }

    @Test func kimisDeltaRuleOfLing3() throws {
        let shape = try ling()
        let rule = RecurrentMixer.deltaRule(
            DeltaRuleMixer(
                convolutionLength: 4, keyHeadCount: 8, valueHeadCount: 8, headWidth: 32,
                alternatesKeys: false, decayBound: -5))
        #expect(shape.recurrents == [rule, rule, rule, nil])
        #expect(shape.latents.count == 1 && shape.latents[0].gatesHeads == true)
        #expect(shape.latents[0].rope?.pairing == .adjacent)
        let halves = try ling {
            $0.add("bailingmoe3.rope.dimension_sections", [2, 1, 1, 0] as [Int32])
        }
        #expect(halves.latents[0].rope?.pairing == .halves)
        expectRefused("swiglu_clamp_exp to be finite bounds, found inf") {
            try self.ling {
                $0.add("bailingmoe3.swiglu_clamp_exp", [0, 0, .infinity, 0] as [Float])
            }
        }
        expectRefused("kda.safe_gate to be true, found false") {
            try self.ling { $0.add("bailingmoe3.kda.safe_gate", false) }
        }
    }
}
