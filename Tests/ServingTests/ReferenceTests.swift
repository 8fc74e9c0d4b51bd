// Every family and block format against llama.cpp's own numbers (docs/ARCHITECTURE.md, section 6),
// from fixtures that Tests/Fixtures/models makes.

import FoundationEssentials
import Measurement
import ModelFormat
import Models
import Testing

/// What a reference file says; see Tests/Fixtures/models/README.md.
struct Reference: Decodable {
    struct Exact: Decodable {
        let logits: [Float]?
    }

    let tokens: [Int]
    let greedy: [Int]?
    let nll: Double
    let logits: [Float]?
    let exact: Exact?
}

@Suite struct ReferenceTests {
    /// Models whose every weight is a 32-bit float: computed in float, so the bound is tight.
    static let floatModels = [
        "llama", "llama-rope-factors", "llama-rope-linear", "llama-rope-yarn",
        "llama-rope-yarn-betas", "llama-spm", "mixtral", "mistral", "qwen2", "qwen3", "qwen2moe",
        "qwen3moe", "qwen3moe-sigmoid", "olmoe", "olmoe-normalized", "arcee", "nemotron",
        "nemotron-biases", "opt", "llama-biases", "granite", "granitemoe", "smollm3", "olmo2",
        "smallthinker", "exaone4", "seed_oss", "hunyuan-dense", "mistral3", "gpt-oss", "dots1",
        "dots1-chosen", "dots1-softplus", "bailingmoe2", "glm4moe", "ernie4_5-moe",
        "ernie4_5-moe-step", "minimax-m2", "afmoe", "laguna", "lfm2", "lfm2moe", "qwen35",
        "qwen35moe", "qwen3next", "hunyuan-moe", "phi3", "phi3-short", "granitehybrid", "deepseek2",
        "deepseek2-lite", "nemotron_h", "nemotron_h_moe", "bailingmoe3", "bailingmoe3-bounded"
    ]
    /// llama.cpp rounds activations to these formats, and Gemma's gate to halves, which costs it
    /// more than 1e-4; exact arithmetic is the judge.
    static let halfModels = [
        "llama-f16", "llama-bf16", "gemma2", "gemma3", "gemma4", "gemma4-moe", "gemma4-shared"
    ]
    static let quantizedModels = [
        "llama-q4_0", "llama-q4_1", "llama-q5_0", "llama-q5_1", "llama-q8_0", "llama-q4_k",
        "llama-q5_k", "llama-q6_k", "arcee-q8_0", "nemotron-q8_0", "granite-q8_0",
        "gpt-oss-mxfp4", "bailingmoe2-q8_0", "qwen35-q8_0", "granitehybrid-q8_0", "deepseek2-q8_0",
        "nemotron_h_moe-q8_0", "gemma4-shared-q8_0", "opt-q8_0"
    ]
    /// Gated by a ReLU, which llama.cpp cannot be asked for.
    static let reluModels: [(name: String, bound: Float)] = [
        ("llama-relu", 1e-4), ("llama-relu-q8_0", 1e-2)
    ]

    @Test(arguments: floatModels) func floatModelAgrees(name: String) throws {
        let reference = try Fixtures.reference("models/\(name).json")
        try compare(name, with: try #require(reference.logits), reference, bound: 1e-4)
    }

    @Test(arguments: halfModels) func halfModelAgreesWithExactArithmetic(name: String) throws {
        let reference = try Fixtures.reference("models/\(name).json")
        let exact = try #require(reference.exact?.logits)
        try compare(name, with: exact, reference, bound: 1e-4)
    }

    @Test(arguments: reluModels)
    func reluModelAgreesWithExactArithmetic(name: String, bound: Float) throws {
        let reference = try Fixtures.reference("models/\(name).json")
        try compare(name, with: try #require(reference.logits), reference, bound: bound)
    }

    @Test(arguments: quantizedModels) func quantizedModelAgrees(name: String) throws {
        let reference = try Fixtures.reference("models/\(name).json")
        try compare(name, with: try #require(reference.logits), reference, bound: 1e-2)
    }

    /// A model of types that no kernel computes with, re-quantised at import, against exact
    /// arithmetic on the weights as the source file has them: the bound is what that costs.
    @Test func requantizedModelAgreesWithItsSource() throws {
        let reference = try Fixtures.reference("packing/requantized.json")
        let expected = try #require(reference.logits)
        let model = try Fixtures.model("packing/requantized.gguf") { $0.logitsRowsMax = 16 }
        let found = try Evaluator(model: model).evaluate(
            reference.tokens.map { TokenID($0) }, generate: 1)
        let range = (expected.max() ?? 0) - (expected.min() ?? 0)
        let difference = zip(found.logits, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(found.logits.count == expected.count)
        #expect(difference / range < 3e-2, "off by \(difference / range) of the range")
        #expect(abs(found.meanLoss - reference.nll) < 5e-3 * reference.nll, "\(found.meanLoss)")
    }

    private func compare(
        _ name: String, with expected: [Float], _ reference: Reference, bound: Float
    ) throws {
        let model = try Fixtures.model("models/\(name).gguf") { $0.logitsRowsMax = 16 }
        let greedy = try #require(reference.greedy)
        let found = try Evaluator(model: model).evaluate(
            reference.tokens.map { TokenID($0) }, generate: greedy.count)
        let range = (expected.max() ?? 0) - (expected.min() ?? 0)
        let difference = zip(found.logits, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(found.logits.count == expected.count)
        #expect(difference / range < bound, "\(name): off by \(difference / range) of the range")
        #expect(found.greedy.map(\.index) == greedy, "\(name)")
        #expect(
            abs(found.meanLoss - reference.nll) < 2e-3 * reference.nll, "\(found.meanLoss)")
    }
}
