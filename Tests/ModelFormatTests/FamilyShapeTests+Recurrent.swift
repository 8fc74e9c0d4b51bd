// Families whose layers have a state in place of keys and values.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

extension FamilyShapeTests {
    private func lfm2(
        _ architecture: String = "lfm2", heads: [Int32] = [0, 0, 2, 0], length: UInt32 = 3,
        _ add: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> ModelShape {
        try shape(architecture, without: "attention.head_count_kv") {
            $0.add("\(architecture).attention.head_count_kv", heads)
            $0.add("\(architecture).shortconv.l_cache", length)
            add(&$0)
        }
    }

    @Test func convolutionsOfLFM2() throws {
        let shape = try lfm2()
        let convolution = RecurrentMixer.shortConvolution(ConvolutionMixer(length: 3))
        #expect(shape.recurrents == [convolution, convolution, nil, convolution])
        #expect(shape.attention.keyValueHeadCount == 2 && shape.attention.headNorm == .perHead)
        #expect(shape.attention.window == nil && shape.isRecurrent)
        let windowed = try lfm2 { $0.add("lfm2.attention.sliding_window", UInt32(40)) }
        #expect(windowed.attention.window == 40)
        let mixture = try lfm2("lfm2moe") {
            $0.add("lfm2moe.expert_count", UInt32(8))
            $0.add("lfm2moe.expert_used_count", UInt32(4))
            $0.add("lfm2moe.expert_feed_forward_length", UInt32(96))
            $0.add("lfm2moe.leading_dense_block_count", UInt32(2))
        }
        #expect(mixture.mixtures.map(\.layer) == [2, 3])
        let experts = try #require(mixture.experts)
        #expect(experts.gating == .sigmoid && experts.normalizesWeights)
        #expect(experts.hasSelectionBias && experts.shared == nil)
        expectRefused("0 or one number, up to 8, in every layer, found none") {
            try self.lfm2(heads: [0, 0, 0, 0])
        }
        expectRefused("0 or one number, up to 8, in every layer, found 1, 2") {
            try self.lfm2(heads: [0, 1, 2, 0])
        }
        expectRefused("0 to 16384 heads for each layer, found 3 values") {
            try self.lfm2(heads: [0, 1, 2])
        }
        expectRefused("lfm2.shortconv.l_cache in 2...8, found 9") { try self.lfm2(length: 9) }
    }

    private func qwen(
        _ architecture: String, heads: UInt32 = 4, inner: UInt32 = 64,
        _ add: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> ModelShape {
        try shape(architecture) {
            let counts: [(String, UInt32)] = [
                ("conv_kernel", 4), ("state_size", 16), ("group_count", 2),
                ("time_step_rank", heads), ("inner_size", inner)
            ]
            for (name, count) in counts { $0.add("\(architecture).ssm.\(name)", count) }
            add(&$0)
        }
    }

    @Test func deltaRulesOfQwen() throws {
        let rule = RecurrentMixer.deltaRule(
            DeltaRuleMixer(
                convolutionLength: 4, keyHeadCount: 2, valueHeadCount: 4, headWidth: 16,
                alternatesKeys: true))
        let dense = try qwen("qwen35")
        #expect(dense.recurrents == [rule, rule, rule, nil])
        #expect(dense.attention.outputGate == .sigmoid && dense.attention.headNorm == .perHead)
        #expect(dense.layers.allSatisfy { $0.feedForward.dense != nil })
        let listed = try qwen("qwen35") {
            $0.add("qwen35.attention.recurrent_layers", [false, true, true, false])
        }
        #expect(listed.recurrents == [nil, rule, rule, nil])
        func addExperts(_ architecture: String, _ builder: inout GGUFBuilder) {
            builder.add("\(architecture).expert_count", UInt32(8))
            builder.add("\(architecture).expert_used_count", UInt32(2))
            builder.add("\(architecture).expert_feed_forward_length", UInt32(96))
            builder.add("\(architecture).expert_shared_feed_forward_length", UInt32(64))
        }
        let mixture = try qwen("qwen35moe") { addExperts("qwen35moe", &$0) }
        #expect(mixture.experts?.shared == MixtureShape.SharedExpert(width: 64, hasGate: true))
        #expect(mixture.experts?.normalizesWeights == true && mixture.mixtures.count == 4)
        let next = try qwen("qwen3next") {
            addExperts("qwen3next", &$0)
            $0.add("qwen3next.full_attention_interval", UInt32(2))
        }
        guard case .deltaRule(let grouped) = next.recurrents[2] else {
            Issue.record("no delta rule")
            return
        }
        #expect(!grouped.alternatesKeys)
        #expect(next.recurrents.map { $0 == nil } == [false, true, false, true])
        expectRefused("4 heads of 16, 64, found 63") { try self.qwen("qwen35", inner: 63) }
        expectRefused("a divisor of the 5 heads of values, found 2") {
            try self.qwen("qwen35", heads: 5, inner: 80)
        }
        expectRefused("qwen35.ssm.time_step_rank") { try self.shape("qwen35") }
    }

    @Test func stateSpacesOfGranite() throws {
        func granite(heads: UInt32 = 4, inner: UInt32 = 64) throws -> ModelShape {
            try self.shape("granitehybrid", without: "attention.head_count_kv") {
                $0.add("granitehybrid.attention.head_count_kv", [0, 0, 2, 0] as [Int32])
                let counts: [(String, UInt32)] = [
                    ("conv_kernel", 4), ("state_size", 32), ("group_count", 2),
                    ("time_step_rank", heads), ("inner_size", inner)
                ]
                for (name, count) in counts { $0.add("granitehybrid.ssm.\(name)", count) }
                $0.add("granitehybrid.rope.scaling.finetuned", false)
            }
        }
        let space = RecurrentMixer.stateSpace(
            StateSpaceMixer(
                convolutionLength: 4, hasConvolutionBias: false, headCount: 4, headWidth: 16,
                groupCount: 2, stateWidth: 32))
        let shape = try granite()
        #expect(shape.recurrents == [space, space, nil, space])
        #expect(shape.attention.rope == nil && shape.logitScale == nil)
        expectRefused("a divisor of the 3 heads, found 2") { try granite(heads: 3, inner: 48) }
        expectRefused("a multiple of the 4 heads, found 66") { try granite(inner: 66) }
    }

    @Test func halvesOfNemotronH() throws {
        func nemotron(
            _ architecture: String = "nemotron_h", widths: [Int32] = [0, 96, 0, 96],
            _ add: (inout GGUFBuilder) -> Void = { _ in }
        ) throws -> ModelShape {
            try self.shape(architecture, without: "feed_forward_length") {
                $0.add("\(architecture).attention.head_count_kv", [0, 0, 2, 0] as [Int32])
                $0.add("\(architecture).feed_forward_length", widths)
                let counts: [(String, UInt32)] = [
                    ("conv_kernel", 4), ("state_size", 32), ("group_count", 2),
                    ("time_step_rank", 4), ("inner_size", 64)
                ]
                for (name, count) in counts { $0.add("\(architecture).ssm.\(name)", count) }
                add(&$0)
            }
        }
        let shape = try nemotron()
        #expect(shape.recurrents.map { $0 != nil } == [true, false, false, false])
        #expect(shape.attentions.count == 1 && shape.attention.rope == nil)
        #expect(shape.layers.map { $0.mixer == .none } == [false, true, false, true])
        #expect(shape.layers.map { $0.feedForward == .none } == [true, false, true, false])
        #expect(shape.layers.map(\.norms.beforeMixer) == [true, false, true, false])
        #expect(shape.cacheLayers(of: 2) == 0..<1 && shape.dense?.isGated == false)
        let mixture = try nemotron("nemotron_h_moe") {
            $0.add("nemotron_h_moe.expert_count", UInt32(8))
            $0.add("nemotron_h_moe.expert_used_count", UInt32(2))
            $0.add("nemotron_h_moe.expert_feed_forward_length", UInt32(32))
            $0.add("nemotron_h_moe.expert_shared_feed_forward_length", UInt32(48))
        }
        #expect(mixture.mixtures.map(\.layer) == [1, 3])
        let experts = try #require(mixture.experts)
        #expect(!experts.isGated && experts.gating == .sigmoid && experts.hasSelectionBias)
        #expect(experts.activation == .relu2 && experts.shared?.width == 48)
        expectRefused("a width up to 4194304 for each layer, found 3 values") {
            try nemotron(widths: [0, 96, 0])
        }
    }
}
