// Whoever reads a buffer outside the lifetime that its block declared reads something else: with
// dead buffers poisoned, the same bits come out.

import Inference
import Knobs
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Packing
import TestSupport
import Testing

@Suite struct BufferLifetimeTests {
    private static let tokens = (0..<40).map { TokenID($0 * 7 % 250) }

    @Test(arguments: DigestTests.committed) func deadBuffersAreNotRead(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            try check(path, sparse: .off)
        }
    }

    @Test(arguments: ["llama", "llama-q4_0", "arcee-q8_0", "llama-relu-q8_0", "nemotron"])
    func deadBuffersOfNeuronsAreNotRead(name: String) throws {
        let source = Fixtures.folder + "models/\(name).gguf"
        try Fixtures.withPacked(source, neurons: .bundled) { path in
            try check(path, sparse: .off)
            try check(path, sparse: .exact)
        }
    }

    /// Resident, and streamed with as little as will do and a little more: prompts in many waves,
    /// one by one and layer by layer.
    private func check(_ path: String, sparse: SparseMode) throws {
        var options = ModelOptions()
        options.logitsRowsMax = 8
        options.contextTokens = 128
        options.prefillChunkTokens = 8
        options.sparse = sparse
        let least = try Fixtures.leastBytes(path) { $0 = options }
        let expected = try evaluate(path, options) { $0.isResident = true }
        for poisons in [false, true] {
            for extra in [0, 100 << 10, 300 << 10] {
                let found = try evaluate(path, options, poisons: poisons) {
                    $0.memoryBytesMax = least + extra
                }
                #expect(found == expected, "\(poisons), \(extra) bytes more than the least")
            }
            let found = try evaluate(path, options, poisons: poisons) { $0.isResident = true }
            #expect(found == expected, "\(poisons), resident")
        }
    }

    private func evaluate(
        _ path: String, _ options: ModelOptions, poisons: Bool = false,
        _ configure: (inout ModelOptions) -> Void
    ) throws -> Evaluation {
        var options = options
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        model.transformer.poisonsDeadBuffers = poisons
        return try Evaluator(model: model).evaluate(Self.tokens, generate: 6)
    }
}
