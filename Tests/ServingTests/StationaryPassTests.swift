// A prompt in waves that stay in each layer: the same bits as everything resident, one pass over
// flash, and nothing left behind by a pass that fails or is cancelled.

import FlashStorage
import Glibc
import Inference
import Knobs
import ModelFormat
import Models
import SequenceState
import TestSupport
import Testing
import Weights

@Suite struct StationaryPassTests {
    static let models = [
        "llama-q4_0", "llama-q8_0", "qwen2moe", "qwen3moe", "olmoe", "arcee", "gemma3",
        "gemma4-shared",
        "smallthinker", "granitemoe", "ernie4_5-moe-step"
    ]
    static let tokens = (0..<100).map { TokenID($0 * 7 % 250) }

    @Test(arguments: models) func wavesEqualResident(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            var options = Self.options { _ in }
            options.isResident = true
            let expected = try logits(try ModelInstance(path: path, options: options))
            options.isResident = false
            let budgets = try Self.streamingBudgets(path)
            #expect(!budgets.isEmpty)
            for index in stride(from: 0, to: budgets.count, by: max(1, budgets.count / 4)) {
                options.memoryBytesMax = budgets[index]
                let model = try ModelInstance(path: path, options: options)
                for run in 0..<2 {
                    #expect(try logits(model) == expected, "\(budgets[index]) bytes, run \(run)")
                }
            }
        }
    }

    /// A prompt reads each streamed extent once, and what lent its place twice at most.
    @Test func promptIsOnePassOverFlash() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama-q4_0.gguf") { path in
            let model = try Self.streaming(path)
            let lending = try #require(model.plan.lending)
            let plan = model.plan
            let lent = lending.lent.reduce(0) { $0 + plan[$1].footprint }
            let streamed = plan.units.filter { $0.pinnedOffset == nil }
                .reduce(0) { $0 + $1.footprint }
            _ = try logits(model)
            let before = model.store.statistics.flashBytes
            let sequence = try #require(model.cache.open(tokensMax: 128))
            defer { model.cache.close(sequence) }
            try prefill(model, sequence)
            let read = Int(model.store.statistics.flashBytes - before)
            let embeddings = Self.tokens.count * model.plan.embeddingWindowBytes
            let ahead = model.plan.ringBytes
            #expect(read <= streamed + 2 * lent + embeddings + ahead)
            #expect(read >= streamed)
        }
    }

    /// With room for one layer's experts, each is read once for all waves.
    @Test func expertsAreReadOncePerPass() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/qwen3moe.gguf") { path in
            let model = try Self.streaming(path)
            let sequence = try #require(model.cache.open(tokensMax: 128))
            defer { model.cache.close(sequence) }
            let before = model.store.statistics.bundleMisses
            try prefill(model, sequence)
            let misses = model.store.statistics.bundleMisses - before
            #expect(misses <= model.manifest.experts.reduce(0) { $0 + $1.count })
        }
    }

    @Test(arguments: models) func failedWavesLeaveNothingBehind(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let script = FaultScript()
            let model = try Self.streaming(path) {
                $0.verification = .always
                $0.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            }
            let expected = try logits(model)
            script.arm(nil)
            #expect(try logits(model) == expected)
            let reads = script.reads
            // What is cached differs from run to run: not every fault finds its read.
            var fired = 0
            for fault in [StorageFault.error(EIO), .endOfFile, .flippedBit, .short] {
                for index in stride(from: 0, to: reads, by: max(1, reads / 24)) {
                    script.arm(fault, at: index)
                    if let found = try? logits(model) { #expect(found == expected) }
                    fired += script.hasFired ? 1 : 0
                    script.arm(nil)
                    #expect(try logits(model) == expected, "after \(fault) at read \(index)")
                }
            }
            #expect(fired > 20)
        }
    }

    @Test(arguments: models) func cancelledPromptLeavesNothingBehind(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let model = try Self.streaming(path)
            let expected = try logits(model)
            var cancelled = 0
            for countdown in 0..<20 {
                var left = countdown
                model.transformer.observer.isCancelled = {
                    left -= 1
                    return left < 0
                }
                do throws(ReadFailure) {
                    try prefillAlone(model)
                } catch {
                    #expect(error.cause == .cancelled)
                    cancelled += 1
                }
                model.transformer.observer.isCancelled = nil
                #expect(try logits(model) == expected, "cancelled after \(countdown) questions")
            }
            #expect(cancelled > 3)
        }
    }

    // MARK: helpers

    private static func options(_ configure: (inout ModelOptions) -> Void) -> ModelOptions {
        var options = ModelOptions()
        options.contextTokens = 128
        options.prefillChunkTokens = 8
        configure(&options)
        return options
    }

    /// Budgets in which a prompt is one step of many waves and something streams, with room for a
    /// layer's experts.
    private static func streamingBudgets(
        _ path: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> [Int] {
        var options = options(configure)
        let least = try Fixtures.leastBytes(path) { $0 = options }
        return try stride(from: least, to: least + 1 << 20, by: 4096).filter { bytes in
            options.memoryBytesMax = bytes
            let sizing = try ModelInstance.division(path: path, options: options)
            let manifest = try PackedModel(source: FileByteSource(path: path)).manifest
            let all = manifest.experts.reduce(0) { $0 + $1.count }
            let hasRoom = manifest.experts.allSatisfy {
                sizing.plan.expertSlotCount >= $0.count + 1
            }
            return sizing.tokensPerStep >= tokens.count && hasRoom
                && (sizing.plan.lending != nil
                    || !sizing.plan.streamsDense && sizing.plan.expertSlotCount < all)
        }
    }

    private static func streaming(
        _ path: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> ModelInstance {
        var options = options(configure)
        let budgets = try streamingBudgets(path, configure)
        try #require(!budgets.isEmpty, "no such budget")
        options.memoryBytesMax = budgets[0]
        return try ModelInstance(path: path, options: options)
    }

    /// Logits after a prompt, and after each of three more tokens.
    private func logits(_ model: ModelInstance) throws -> [[Float]] {
        let sequence = try #require(model.cache.open(tokensMax: 128))
        defer { model.cache.close(sequence) }
        try prefill(model, sequence)
        var all = [Self.logits(model)]
        for index in 0..<3 {
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: [TokenID(9 + index)],
                        firstPosition: Self.tokens.count + index, logits: .last)
                ]))
            all.append(Self.logits(model))
        }
        return all
    }

    private static func logits(_ model: ModelInstance) -> [Float] {
        model.transformer.withLogits(row: 0) { logits in logits.indices.map { logits[$0] } }
    }

    private func prefillAlone(_ model: ModelInstance) throws(ReadFailure) {
        guard let sequence = model.cache.open(tokensMax: 128) else {
            preconditionFailure("the pool holds a sequence")
        }
        defer { model.cache.close(sequence) }
        try prefill(model, sequence)
    }

    private func prefill(
        _ model: ModelInstance, _ sequence: SequenceID
    ) throws(ReadFailure) {
        var position = 0
        while position < Self.tokens.count {
            let end = min(position + model.prefillChunkTokens, Self.tokens.count)
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: Array(Self.tokens[position..<end]),
                        firstPosition: position,
                        logits: end == Self.tokens.count ? .last : .none)
                ]))
            position = end
        }
    }
}
