// Families whose attention has more to it: caps, sinks, norms and growth of what is rotated.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

extension FamilyShapeTests {
    @Test func capsOfGemma2() throws {
        let shape = try shape("gemma2")
        #expect(shape.logitCap == 30 && shape.attentions.allSatisfy { $0.scoreCap == 50 })
        #expect(windows(shape) == [4_096, nil, 4_096, nil])
        #expect(shape.embeddingScale == 16 && shape.activation == .gelu)
        #expect(shape.layers.allSatisfy { $0.norms == .around } && shape.ropes.count == 1)
        let other = try self.shape("gemma2") {
            $0.add("gemma2.attn_logit_softcapping", Float(0))
            $0.add("gemma2.final_logit_softcapping", Float(12))
            $0.add("gemma2.attention.sliding_window", UInt32(100))
            $0.add("gemma2.rope.freq_base_swa", Float(500))
        }
        #expect(other.logitCap == 12 && other.attention.scoreCap == nil)
        #expect(windows(other) == [100, nil, 100, nil])
        #expect(other.attentions.map { $0.rope?.base } == [500, 10_000, 500, 10_000])
        let largest = try self.shape("gemma2", without: "block_count") {
            $0.add("gemma2.block_count", UInt32(46))
            $0.add("gemma2.attention.key_length", UInt32(64))
        }
        #expect(largest.attention.scale == 1 / Float(32).squareRoot())
    }

    @Test func sinksAndBiasesOfGPTOSS() throws {
        let shape = try shape("gpt-oss") {
            $0.add("gpt-oss.expert_count", UInt32(8))
            $0.add("gpt-oss.expert_used_count", UInt32(4))
            $0.add("gpt-oss.expert_feed_forward_length", UInt32(96))
            $0.add("gpt-oss.attention.sliding_window", UInt32(128))
        }
        #expect(windows(shape) == [128, nil, 128, nil])
        #expect(shape.attentions.allSatisfy { $0.hasSinks && $0.rope != nil })
        let mixture = try #require(shape.experts)
        #expect(mixture.hasRouterBias && mixture.hasExpertBiases && mixture.width == 96)
        #expect(mixture.gating == .softmaxOfChosen && mixture.activation == .swigluOAI)
        expectRefused("'gpt-oss.expert_count'") { try self.shape("gpt-oss") }
    }

    @Test func queriesOfMinistralGrow() throws {
        #expect(try shape("mistral3").attention.positionTemperature == nil)
        let shape = try shape("mistral3") {
            $0.add("mistral3.attention.temperature_scale", Float(0.1))
            $0.add("mistral3.rope.scaling.type", "yarn")
            $0.add("mistral3.rope.scaling.factor", Float(16))
            $0.add("mistral3.rope.scaling.original_context_length", UInt32(512))
            $0.add("mistral3.rope.scaling.yarn_log_multiplier", Float(1))
        }
        let grown = PositionTemperature(scale: 0.1, interval: 512)
        #expect(shape.attentions.allSatisfy { $0.positionTemperature == grown })
        guard case .yarn(let yarn) = shape.attention.rope?.scaling else {
            Issue.record("no YaRN")
            return
        }
        // 1 + 0.1 ln 16 is what YaRN multiplies by, and here divides by.
        #expect(abs(yarn.attentionFactor * 1.2772589 - 1) < 1e-6)
        let linear = try self.shape("mistral3") {
            $0.add("mistral3.rope.scaling.factor", Float(16))
            $0.add("mistral3.rope.scaling.attn_factor", Float(2))
            $0.add("mistral3.rope.scaling.yarn_log_multiplier", Float(1))
        }
        guard case .yarn(let plain) = linear.attention.rope?.scaling else {
            Issue.record("no factor on the rotation")
            return
        }
        #expect(plain.extrapolationFactor == 0 && plain.attentionFactor == 2)
    }

    @Test func trinityGatesElements() throws {
        let shape = try shape("afmoe") {
            $0.add("afmoe.expert_count", UInt32(8))
            $0.add("afmoe.expert_used_count", UInt32(2))
            $0.add("afmoe.expert_feed_forward_length", UInt32(96))
            $0.add("afmoe.attention.sliding_window", UInt32(64))
            $0.add("afmoe.leading_dense_block_count", UInt32(1))
            $0.add("afmoe.expert_shared_count", UInt32(1))
        }
        #expect(windows(shape) == [64, 64, 64, nil])
        #expect(shape.attentions.map { $0.rope == nil } == [false, false, false, true])
        #expect(shape.attentions.allSatisfy { $0.outputGate == .sigmoid && $0.gateWidth == 256 })
        #expect(shape.layers.map { $0.feedForward.mixture == nil } == [true, false, false, false])
        #expect(shape.experts?.gating == .sigmoid && shape.experts?.shared?.width == 96)
        #expect(shape.layers.allSatisfy { $0.norms == .around } && shape.embeddingScale == 16)
    }

    @Test func headsOfLagunaDiffer() throws {
        func laguna(_ heads: [Int32], kv: UInt32 = 4) throws -> ModelShape {
            try self.shape("laguna", without: "attention.head_count") {
                $0.add("laguna.attention.head_count", heads)
                $0.add("laguna.attention.head_count_kv", kv)
                $0.add("laguna.attention.key_length", UInt32(32))
                $0.add("laguna.attention.value_length", UInt32(32))
                $0.add("laguna.attention.sliding_window", UInt32(64))
                $0.add("laguna.rope.dimension_count", UInt32(16))
                $0.add("laguna.rope.dimension_count_swa", UInt32(32))
                $0.add("laguna.rope.freq_base", Float(500_000))
                $0.add("laguna.rope.freq_base_swa", Float(10_000))
                $0.add("laguna.expert_count", UInt32(8))
                $0.add("laguna.expert_used_count", UInt32(2))
                $0.add("laguna.expert_feed_forward_length", UInt32(96))
            }
        }
        let shape = try laguna([8, 12, 12, 12])
        #expect(shape.attentions.map(\.headCount) == [8, 12, 12, 12])
        #expect(shape.attention.headCount == 12 && windows(shape) == [nil, 64, 64, 64])
        #expect(shape.attentions.map { $0.rope?.rotatedWidth } == [16, 32, 32, 32])
        #expect(shape.attentions.map { $0.rope?.base } == [500_000, 10_000, 10_000, 10_000])
        #expect(shape.attentions.allSatisfy { $0.outputGate == .softplusOfHeads })
        expectRefused("for each layer") { try laguna([8, 12]) }
        expectRefused("for each layer") { try laguna([8, 12, 0, 12]) }
        expectRefused("a divisor of the 10 heads") { try laguna([8, 10, 12, 12]) }
    }

    @Test func hunyuanNormsWhatTurned() throws {
        let shape = try shape("hunyuan-dense")
        #expect(shape.attentions.allSatisfy { $0.normsRotated && $0.headNorm == .perHead })
    }
}

extension FamilyShapeTests {
    /// Positions are rows of a table, as many as it has.
    @Test func positionsOfOPT() throws {
        func opt(rows: UInt64, context: UInt32 = 4_096) throws -> ModelShape {
            try self.shape("opt", without: "context_length") {
                $0.add("opt.context_length", context)
                $0.addTensor("position_embd.weight", [256, rows], offset: 0)
                $0.data = Array(repeating: 0, count: Int(rows) * 256 * 4)
            }
        }
        let shape = try opt(rows: 50)
        #expect(shape.learnedPositions == LearnedPositions(count: 50, offset: 2))
        #expect(shape.contextLength == 48 && shape.ropes.isEmpty)
        #expect(shape.activation == .relu && !shape.hasGate && shape.isSparse)
        #expect(shape.norm.kind == .layer)
        #expect(shape[.positionEmbeddings]?.rows == 50)
        #expect(shape[.positionEmbeddings]?.columns == 256)
        #expect(try opt(rows: 50, context: 20).contextLength == 20)
        #expect(try opt(rows: 2).contextLength == 1)
        #expect(throws: FormatError.self) { try opt(rows: 2).checkBounds(file: "") }
    }
}
