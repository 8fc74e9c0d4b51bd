// The trained models against llama.cpp's numbers for real questions and real text.

import Measurement
import ModelFormat
import Models
import TestSupport
import Testing
import Tokenization

@Suite(.enabled(if: Fixtures.sharedModel("shell-moe-q4_0.gguf") != nil, "no ../shared/models"))
struct TrainedModelTests {
    static let models = ["shell-moe-q4_0", "shell-moe-q8_0", "shell-relu2-q8_0"]

    @Test(arguments: models, ["curl", "git"])
    func answersAsLlamaDoes(model: String, question: String) throws {
        let reference = try Fixtures.reference("references/\(model)-\(question).json")
        let (logits, greedy) = (
            try #require(reference.logits), try #require(reference.greedy)
        )
        let found = try evaluate(model, reference, generate: greedy.count)
        let range = (logits.max() ?? 0) - (logits.min() ?? 0)
        let difference = zip(found.logits, logits).map { abs($0 - $1) }.max()
        #expect(found.logits.count == logits.count)
        #expect((difference ?? .infinity) / range < 1e-2, "\((difference ?? 0) / range)")
        #expect(found.greedy.map(\.index) == greedy)
    }

    /// What a text's mean loss must be; see Tests/Fixtures/models/README.md.
    struct TextReference: Decodable {
        let file: String
        let bytes: Int
        let tokens: Int
        let nll: Double
    }

    @Test(arguments: models) func scoresTextAsLlamaDoes(name: String) throws {
        let reference: TextReference = try Fixtures.decode("references/\(name)-evaluation.json")
        let path = try #require(Fixtures.sharedModel(reference.file))
        let text = try #require(fileBytes(path)).prefix(reference.bytes)
        let found = try withModel(name) { model in
            try Evaluator(model: model).evaluate(
                model.tokenizer.encode(utf8: Array(text), addSpecial: true, parseSpecial: true),
                generate: 0)
        }
        #expect(found.tokens.count == reference.tokens)
        #expect(abs(found.meanLoss - reference.nll) < 0.01 * reference.nll, "\(found.meanLoss)")
    }

    private func evaluate(
        _ name: String, _ reference: Reference, generate: Int
    ) throws -> Evaluation {
        try withModel(name) {
            try Evaluator(model: $0).evaluate(
                reference.tokens.map { TokenID($0) }, generate: generate)
        }
    }

    private func withModel<Result>(
        _ name: String, _ body: (ModelInstance) throws -> Result
    ) throws -> Result {
        let path = try #require(Fixtures.sharedModel(name + ".gguf"))
        return try Fixtures.withPacked(path) { packed in
            var options = ModelOptions()
            options.memoryBytesMax = 40 << 20
            options.kvFormat = KVFormat(.float)
            options.logitsRowsMax = 16
            return try body(ModelInstance(path: packed, options: options))
        }
    }
}
