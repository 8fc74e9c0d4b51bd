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
