// Neuron bundles: where neurons lie, how they come and who computes changes nothing, and a damaged
// bundle is an error.

import FlashStorage
import Glibc
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Packing
import TestSupport
import Testing

@Suite struct NeuronTests {
    static let models = [
        "arcee", "arcee-q8_0", "nemotron", "nemotron-q8_0", "llama-relu",
        "llama-relu-q8_0", "nemotron-biases", "opt", "opt-q8_0"
    ]
    static let tokens = (0..<90).map { TokenID($0 * 7 % 250) }

    @Test(arguments: models) func threadsAndChunksChangeNothing(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let expected = try evaluate(path) { $0.threads = 1 }
            for (threads, chunk) in [(2, 90), (3, 64), (2, 8), (1, 70)] {
                let found = try evaluate(path) {
                    $0.threads = threads
                    $0.prefillChunkTokens = chunk
                }
                #expect(found == expected, "\(threads) threads, chunks of \(chunk)")
            }
        }
    }

    @Test(arguments: models) func orderOfNeuronsChangesNothing(name: String) throws {
        let seed = UInt64.random(in: 0...(.max))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let expected = try evaluate(path)
            try reorderNeurons(of: path, seed: seed)
            #expect(try evaluate(path) == expected, "resident, seed \(seed)")
            let least = try Fixtures.leastBytes(path) { $0.logitsRowsMax = 8 }
            for budget in [least, least + 20_000] {
                let found = try evaluate(path) { $0.memoryBytesMax = budget }
                #expect(found == expected, "\(budget) bytes, seed \(seed)")
            }
        }
    }

    @Test(
        .enabled(if: Fixtures.sharedModel("shell-relu2-q8_0.gguf") != nil, "no ../shared/models"))
    func orderOfTrainedNeuronsChangesNothing() throws {
        let source = try #require(Fixtures.sharedModel("shell-relu2-q8_0.gguf"))
        try Fixtures.withPacked(source) { path in
            let expected = try evaluate(path)
            try reorderNeurons(of: path, seed: 5)
            for budget in [48 << 20, 64 << 20, 256 << 20] {
                #expect(try evaluate(path) { $0.memoryBytesMax = budget } == expected)
            }
        }
    }

    /// Matrices and bundles are the same weights. What a gate leaves is rounded to 8 bits before a
    /// quantised matrix of down, and not before columns, for which nobody has all of it. Sums of
    /// several neurons of a block are rounded otherwise, which these tokens do not show.
    @Test(arguments: models + ["llama", "llama-q8_0", "llama-q4_0", "llama-q4_1"])
    func wholeComputesTheSame(name: String) throws {
        let source = Fixtures.folder + "models/\(name).gguf"
        let bundled = try Fixtures.withPacked(source, neurons: .bundled) { path in
            try evaluate(path) { $0.kvFormat = KVFormat(.float) }
        }
        let whole = try Fixtures.withPacked(source, neurons: .whole) { path in
            #expect(try PackedModel(source: FileByteSource(path: path)).manifest.neurons == nil)
            return try evaluate(path) { $0.kvFormat = KVFormat(.float) }
        }
        #expect(bundled.logits.count == whole.logits.count)
        guard name.hasPrefix("llama"), name.contains("-q") else {
            #expect(bundled == whole)
            return
        }
        let difference = zip(bundled.logits, whole.logits).reduce(0) {
            $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
        }
        let size = whole.logits.reduce(0) { $0 + $1 * $1 }
        #expect(difference > 0 && difference < 0.002 * size, "\(difference / size)")
    }

    @Test func damagedBundleIsNamed() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/arcee-q8_0.gguf") { path in
            let source = try FileByteSource(path: path)
            let record = try #require(PackedModel(source: source).manifest.neurons?.first)
            let place = record.offset + UInt64(record.bundleBytes)
            let file = try FileDescriptor(path: path, mode: .readWrite)
            let byte = try source.packedBytes(at: place + 7, count: 1)
            try file.write(unsafe [byte[0] ^ 16].span.bytes, at: place + 7)
            do {
                _ = try evaluate(path)
                Issue.record("a damaged bundle was accepted")
            } catch LoadError.read(let failure) {
                #expect(failure.fileOffset == place)
            }
            let least = try Fixtures.leastBytes(path) { $0.logitsRowsMax = 8 }
            #expect(throws: (any Error).self) { try evaluate(path) { $0.memoryBytesMax = least } }
        }
    }

    private func evaluate(
        _ path: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> Evaluation {
        var options = ModelOptions()
        options.logitsRowsMax = 8
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        return try Evaluator(model: model).evaluate(Self.tokens, generate: 6)
    }

    /// Gives every layer's neurons other places, as calibration may.
    private func reorderNeurons(of path: String, seed: UInt64) throws {
        let model = try PackedModel(source: FileByteSource(path: path))
        var random = SplitMix(seed: seed)
        let orders = try #require(model.manifest.neurons).map { record in
            (0..<UInt32(record.count)).shuffled(using: &random)
        }
        try NeuronReordering(path: path).write(to: path, orders: orders, processID: getpid())
    }
}
