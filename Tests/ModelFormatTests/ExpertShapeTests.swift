// Mixtures of experts from metadata: groups, dense layers that lead, layers that only draft.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

extension FamilyShapeTests {
    @Test func groupsOfExperts() throws {
        func grouped(_ count: UInt32, _ used: UInt32?, experts: UInt32 = 3) throws -> MixtureShape {
            let shape = try shape("llama") {
                $0.add("llama.expert_count", UInt32(12))
                $0.add("llama.expert_used_count", experts)
                $0.add("llama.expert_group_count", count)
                if let used { $0.add("llama.expert_group_used_count", used) }
            }
            return try #require(shape.experts)
        }
        let some = try grouped(4, 2)
        #expect((some.groupCount, some.groupUsedCount) == (4, 2))
        for (count, used) in [(0, 0), (1, 1), (4, 4)] {
            #expect(try grouped(UInt32(count), UInt32(used)).groupCount == nil)
        }
        for count in [UInt32(5), 12, 7] {
            expectRefused("equally many of the 12 experts, two or more, found \(count)") {
                try grouped(count, 2)
            }
        }
        expectRefused("expert_group_used_count in 1...4, found 5") { try grouped(4, 5) }
        expectRefused("expert_group_used_count in 1...4, found 0") { try grouped(4, 0) }
        expectRefused("the metadata key 'llama.expert_group_used_count'") { try grouped(4, nil) }
        expectRefused("groups that hold the 4 experts used, found 1 of 3") {
            try grouped(4, 1, experts: 4)
        }
    }

    /// The least of a family whose first layers are dense.
    private func led(
        _ architecture: String, layers: UInt32 = 5, _ change: (inout GGUFBuilder) -> Void
    ) throws -> ModelShape {
        try shape(architecture, without: "block_count") {
            $0.add("\(architecture).block_count", layers)
            $0.add("\(architecture).expert_count", UInt32(8))
            $0.add("\(architecture).expert_used_count", UInt32(2))
            $0.add("\(architecture).expert_feed_forward_length", UInt32(96))
            change(&$0)
        }
    }

    @Test func denseLayersLead() throws {
        let shape = try led("dots1") {
            $0.add("dots1.leading_dense_block_count", UInt32(2))
            $0.add("dots1.expert_shared_count", UInt32(3))
            $0.add("dots1.expert_weights_scale", Float(2.5))
        }
        #expect(shape.mixtures.map(\.layer) == [2, 3, 4] && shape.layerCount == 5)
        #expect(shape.layers[1].feedForward.dense?.width == 768)
        let mixture = try #require(shape.experts)
        #expect((mixture.width, mixture.gating, mixture.weightsScale) == (96, .sigmoid, 2.5))
        #expect(mixture.shared == .init(width: 288, hasGate: false))
        #expect(!mixture.normalizesWeights && !mixture.hasSelectionBias)
        let all = try led("dots1") { $0.add("dots1.leading_dense_block_count", UInt32(9)) }
        #expect(all.experts == nil)
    }

    /// Blocks that only draft are counted among the blocks, and are none of the layers.
    @Test func draftLayersAreNotLayers() throws {
        let shape = try led("dots1") { $0.add("dots1.nextn_predict_layers", UInt32(2)) }
        #expect(shape.layerCount == 3)
        let drafts = try GGUFTestFiles.open(
            builder("dots1") { $0.add("dots1.nextn_predict_layers", UInt32(1)) }
        ).draftLayers()
        #expect(drafts == 3..<4)
        for count in [UInt32(5), 6, .max] {
            expectRefused("fewer than the 5 blocks, which it counts among them, found \(count)") {
                try led("dots1") { $0.add("dots1.nextn_predict_layers", count) }
            }
        }
    }

    /// What files do not say, or say and nobody heeds.
    @Test func familiesHaveTheirOwnRouting() throws {
        let ernie = try led("ernie4_5-moe", layers: 6) {
            $0.add("ernie4_5-moe.leading_dense_block_count", UInt32(1))
            $0.add("ernie4_5-moe.interleave_moe_layer_step", UInt32(2))
            $0.add("ernie4_5-moe.expert_gating_func", UInt32(2))
            $0.add("ernie4_5-moe.expert_weights_norm", false)
            $0.add("ernie4_5-moe.expert_shared_feed_forward_length", UInt32(64))
        }
        #expect(ernie.mixtures.map(\.layer) == [1, 3, 5])
        let own = try #require(ernie.experts)
        #expect(own.gating == .softmax && own.normalizesWeights)
        #expect(own.shared == .init(width: 64, hasGate: false))
        let glm = try led("glm4moe") { $0.add("glm4moe.rope.dimension_count", UInt32(16)) }
        let balanced = try #require(glm.experts)
        #expect(balanced.gating == .sigmoid && balanced.hasSelectionBias)
        #expect(glm.attention.headNorm == .none && glm.attention.rope?.rotatedWidth == 16)
        let minimax = try led("minimax-m2") { _ in }
        #expect(minimax.experts?.width == 768 && minimax.experts?.normalizesWeights == true)
        #expect(minimax.attention.headNorm == .wholeProjection)
        let ling = try led("bailingmoe2") {
            $0.add("bailingmoe2.expert_shared_count", UInt32(2))
            $0.add("bailingmoe2.expert_shared_feed_forward_length", UInt32(24))
        }
        #expect(ling.experts?.shared == .init(width: 48, hasGate: false))
    }
}
