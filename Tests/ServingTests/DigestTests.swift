// Whatever is rebuilt, the same bits come out and the same bytes are read. Fixtures/digests.json
// holds, for each committed model and each trained one, at six budgets, a digest of the logits and
// of the greedy tokens after a fixed prompt, and the bytes read for them; this compares.
// SLUICE_RECORD_DIGESTS=1 writes the file anew: only where a change is meant to change results.

import FlashStorage
import FoundationEssentials
import Glibc
import Knobs
import Measurement
import Memory
import ModelFormat
import Models
import TestSupport
import Testing
import Weights

/// What one model gave under one budget.
private struct Digest: Codable, Equatable {
    let logits: String
    let greedy: String
    /// Bytes read from flash for the prompt and the continuation.
    let flashBytes: UInt64

    /// The same bits, and as many bytes. Those of experts vary a little: which of them are in
    /// memory follows from which was computed first, and so from when a drive answers.
    func isLike(_ other: Digest) -> Bool {
        let difference = max(flashBytes, other.flashBytes) - min(flashBytes, other.flashBytes)
        return logits == other.logits && greedy == other.greedy
            && difference * 32 <= other.flashBytes
    }
}

@Suite(.serialized) struct DigestTests {
    private static let file = "digests.json"
    private static let records = unsafe getenv("SLUICE_RECORD_DIGESTS") != nil
    /// Where a budget lies between the least and what holds everything, in fifths.
    private static let steps = 0...5
    static let committed = [
        "llama", "llama-q4_0", "llama-q6_k", "llama-biases", "llama-relu-q8_0", "llama-rope-yarn",
        "llama-spm", "mistral", "mixtral", "qwen2", "qwen2moe", "qwen3", "qwen3moe",
        "qwen3moe-sigmoid", "olmoe", "olmoe-normalized", "arcee-q8_0", "nemotron-q8_0",
        "nemotron-biases", "granite", "granite-q8_0", "granitemoe", "smollm3", "olmo2", "gemma3",
        "smallthinker", "exaone4", "seed_oss", "gemma2", "hunyuan-dense", "mistral3", "gpt-oss",
        "gpt-oss-mxfp4", "dots1", "bailingmoe2", "glm4moe", "ernie4_5-moe-step", "minimax-m2",
        "afmoe", "laguna", "lfm2", "lfm2moe", "qwen35", "qwen35-q8_0", "qwen35moe", "qwen3next",
        "hunyuan-moe", "phi3", "phi3-short", "granitehybrid", "granitehybrid-q8_0", "deepseek2",
        "deepseek2-lite", "deepseek2-q8_0", "nemotron_h", "nemotron_h_moe", "nemotron_h_moe-q8_0",
        "gemma4", "gemma4-moe", "bailingmoe3",
        "gemma4-shared", "gemma4-shared-q8_0", "opt", "opt-q8_0",
        "bailingmoe3-bounded"
    ]
    private static let trained = ["shell-moe-q4_0", "shell-relu2-q8_0", "docs-moe-q4_0"]

    @Test func nothingChangedItsBits() throws {
        var recorded: [String: [Digest]] = Self.records ? [:] : try Fixtures.decode(Self.file)
        for name in Self.committed {
            try check(name, Fixtures.folder + "models/\(name).gguf", &recorded)
        }
        for name in Self.trained {
            guard let path = Fixtures.sharedModel(name + ".gguf") else {
                print("skipped: digests of \(name), which is not in ../shared/models")
                continue
            }
            try check(name, path, &recorded)
        }
        if Self.records { try write(recorded) }
    }

    private func check(
        _ name: String, _ source: String, _ recorded: inout [String: [Digest]]
    ) throws {
        let found = try Fixtures.withPacked(source) { path in try digests(path) }
        if Self.records { recorded[name] = found }
        let expected = try #require(recorded[name], "no digests of \(name) are recorded")
        for (step, (one, other)) in zip(found, expected).enumerated() {
            #expect(
                one.isLike(other), "\(name), budget \(step): \(one), and was \(other)")
        }
        #expect(found.count == expected.count)
    }

    private func digests(_ path: String) throws -> [Digest] {
        let least = try Fixtures.leastBytes(path) { Self.configure(&$0) }
        var options = ModelOptions()
        Self.configure(&options)
        options.memoryBytesMax = .max
        let most = try ModelInstance.division(path: path, options: options).budget.sumBytes
        return try Self.steps.map { step in
            options.memoryBytesMax = least + (most - least) * step / Self.steps.upperBound
            return try digest(path, options)
        }
    }

    /// The same everywhere: nothing is decided by what a machine has or measures.
    private static func configure(_ options: inout ModelOptions) {
        options.logitsRowsMax = 8
        options.threads = 2
        options.kvFormat = KVFormat(.float)
        options.contextTokens = 128
        options.sparse = .off
        // Experts are then read in the order in which they were asked for.
        options.flash.queueDepth = 1
    }

    private func digest(_ path: String, _ options: ModelOptions) throws -> Digest {
        let model = try ModelInstance(path: path, options: options)
        let tokens = (0..<40).map { TokenID($0 * 7 % 250) }
        let evaluation = try Evaluator(model: model).evaluate(tokens, generate: 8)
        let greedy = evaluation.greedy.map(\.rawValue)
        return Digest(
            logits: unsafe hexadecimal(Checksum.of(evaluation.logits.span.bytes)),
            greedy: unsafe hexadecimal(Checksum.of(greedy.span.bytes)),
            flashBytes: model.store.statistics.flashBytes)
    }

    private func hexadecimal(_ checksum: UInt32) -> String { String(checksum, radix: 16) }

    private func write(_ digests: [String: [Digest]]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(digests).write(to: URL(filePath: Fixtures.folder + Self.file))
    }
}
