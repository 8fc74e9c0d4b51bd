// Knobs of weights and of the KV cache: what profiles may say, and what models are then opened
// with.

import FlashStorage
import Knobs
import ModelFormat
import Models
import Testing

@Suite struct WeightKnobTests {
    private func options(_ text: String) throws(ConfigurationError) -> ModelOptions {
        ModelOptions(try Profile(text: text, file: "p.toml"))
    }

    @Test func profilesReachWhatOptionsReach() throws {
        let plain = try options("")
        #expect(
            plain.sparse == nil && plain.activationSparsity == nil
                && plain.kvFormat == KVFormat(.half))
        #expect(plain.qualityLossMax == 0 && plain.verification == .first)
        #expect(plain.contextTokens == nil && plain.contextTokensWanted == nil)
        let set = try options(
            """
            [flash]
            verify = "always"
            prefetch_max = 3
            [weights]
            sparse = "predicted"
            activation_sparsity = 0.75
            quality_loss_max = 0.5
            [kv]
            bits = "k8v4"
            [generation]
            context_tokens = 2048
            """)
        #expect(set.sparse == .predicted && set.activationSparsity == 0.75)
        #expect(set.qualityLossMax == 0.5 && set.kvFormat == KVFormat(keys: .eight, values: .four))
        #expect(set.verification == .always && set.flash.prefetchesMax == 3)
        #expect(set.contextTokensWanted == 2048 && set.contextTokens == nil)
        for (word, mode) in [("auto", nil), ("off", .off), ("exact", .exact)]
            as [(String, SparseMode?)]
        {
            #expect(try options("[weights]\nsparse = \"\(word)\"").sparse == mode)
        }
        #expect(
            try options("[weights]\nactivation_sparsity = \"off\"").activationSparsity == nil)
        #expect(
            try options("[generation]\ncontext_tokens = \"auto\"").contextTokensWanted == nil)
    }

    @Test(arguments: [
        "[weights]\nsparse = \"some\"", "[weights]\nsparse = true",
        "[weights]\nactivation_sparsity = 1", "[weights]\nactivation_sparsity = 0.0",
        "[weights]\nactivation_sparsity = \"0.5\"", "[weights]\nquality_loss_max = -0.1",
        "[weights]\nquality_loss_max = 1.5", "[kv]\nbits = 3", "[kv]\nbits = \"k8\"",
        "[flash]\nverify = \"never\"", "[generation]\ncontext_tokens = 63"
    ])
    func whatCannotWorkIsRefusedByLine(_ text: String) {
        #expect {
            try options(text)
        } throws: {
            ($0 as? ConfigurationError)?.line == 2
        }
    }
}
