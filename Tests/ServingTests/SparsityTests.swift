// Training-free sparsity: leaving out a layer's weakest neurons is the same whether they are in
// memory or not, and the same as a network in which they are 0; without thresholds, or with such
// as silence nobody, nothing is left out.

import Compute
import FlashStorage
import FoundationEssentials
import Glibc
import Inference
import Knobs
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Packing
import TestSupport
import Testing
import Weights

@Suite struct SparsityTests {
    static let models = ["llama", "llama-q8_0", "llama-q4_0", "llama-q4_1", "llama-f16"]
    /// Natural zeros, and thresholds on top of them.
    static let sparseModels = [
        "arcee-q8_0", "llama-relu-q8_0", "nemotron", "nemotron-biases"
    ]
    static let tokens = (0..<40).map { TokenID($0 * 7 % 250) }

    @Test(arguments: models + sparseModels) func streamedEqualsResident(name: String) throws {
        try Self.withBundled(name) { path in
            let dense = try evaluate(path) { $0.isResident = true }
            for sparsity in [Float(0.3), 0.6, 0.97] {
                try Self.saveThresholds(of: path)
                let resident = try evaluate(path) {
                    $0.isResident = true
                    $0.activationSparsity = sparsity
                }
                if sparsity == 0.97 { #expect(resident != dense) }
                let least = try Fixtures.leastBytes(path) {
                    $0.logitsRowsMax = 8
                    $0.sparse = .exact
                }
                for mode in [SparseMode.off, .exact] {
                    for extra in stride(from: 0, to: 200 << 10, by: 40 << 10) {
                        let found = try evaluate(path) {
                            $0.memoryBytesMax = least + extra
                            $0.activationSparsity = sparsity
                            $0.sparse = mode
                        }
                        #expect(found == resident, "\(mode) \(sparsity) +\(extra)")
                    }
                }
            }
        }
    }

    /// The same network with weak neurons' first projections at 0, which silences them.
    @Test(arguments: models + sparseModels) func weakNeuronsAreAsIfZero(name: String) throws {
        try Self.withBundled(name) { path in
            let magnitudes = try Self.saveThresholds(of: path).magnitudes(sparsity: 0.6)
            let expected = try evaluate(path) {
                $0.isResident = true
                $0.activationSparsity = 0.6
            }
            var silenced = 0
            let found = try evaluate(path, { $0.isResident = true }) { model in
                let shape = model.manifest.shape
                let activation = shape.activation
                let neurons = shape.feedForwardWidth
                model.transformer.observer.onNeurons = { layer, _, projections, tokens in
                    var values = (0..<tokens * neurons).map { projections[$0] }
                    var span = values.mutableSpan
                    Kernels.best.activate(activation, &span, count: tokens * neurons)
                    for index in values.indices where abs(values[index]) < magnitudes[layer] {
                        projections[index] = 0
                        silenced += 1
                    }
                }
            }
            #expect(found == expected && silenced > 0)
        }
    }

    @Test(arguments: ["llama-q8_0", "arcee-q8_0"]) func nobodyBelowZero(name: String) throws {
        try Self.withBundled(name) { path in
            let layers = try #require(Self.manifest(path).neurons).count
            let zeros = [Float](repeating: 0, count: FiringThresholds.count)
            try FiringThresholds.sidecar(
                besides: path, digest: Self.manifest(path).source.digest
            ).write(FiringThresholds(quantiles: Array(repeating: zeros, count: layers)))
            let dense = try evaluate(path) { $0.isResident = true }
            let found = try evaluate(path) {
                $0.isResident = true
                $0.activationSparsity = 0.9
            }
            #expect(found == dense)
        }
    }

    /// Missing, damaged or another model's thresholds, and files without bundles: said, and every
    /// neuron counts.
    @Test func thresholdsThatCannotBeUsedAreSaid() throws {
        func expectDense(_ path: String, _ word: String) throws {
            let dense = try evaluate(path) { $0.isResident = true }
            let notices = Notices()
            let found = try evaluate(path) {
                $0.activationSparsity = 0.5
                $0.onNotice = { notices.add($0) }
            }
            #expect(found == dense)
            #expect(notices.all.contains { $0.contains(word) }, "\(notices.all)")
        }
        try Self.withBundled("llama-q8_0") { path in
            try expectDense(path, "sluice calibrate")
            let thresholds = try Self.saveThresholds(of: path)
            let sidecar = FiringThresholds.sidecar(
                besides: path, digest: try Self.manifest(path).source.digest)
            let bytes = sidecar.encode(thresholds)
            for content in [Array("nonsense".utf8), Array(bytes.dropLast()), bytes + [0]] {
                try Data(content).write(to: URL(filePath: FiringThresholds.path(of: path)))
                try expectDense(path, "cannot be used")
            }
            try FiringThresholds.sidecar(besides: path, digest: "crc32c:9-9").write(thresholds)
            try expectDense(path, "crc32c:9-9")
            try sidecar.write(
                FiringThresholds(quantiles: thresholds.quantiles + [thresholds.quantiles[0]]))
            try expectDense(path, "layers")
        }
        try Fixtures.withPacked(Fixtures.folder + "models/llama-q8_0.gguf") {
            try expectDense($0, "no neuron bundles")
        }
    }

    @Test func sparsityIsNamedInANotice() throws {
        try Self.withBundled("llama-q8_0") { path in
            try Self.saveThresholds(of: path)
            let notices = Notices()
            _ = try evaluate(path) {
                $0.activationSparsity = 0.5
                $0.onNotice = { notices.add($0) }
            }
            #expect(notices.all.contains { $0.contains("sparsity 0.5, lossy") }, "\(notices.all)")
        }
    }

    /// Neurons that always fire are read whole unless told otherwise, and so are small ones of
    /// which a few in each bundle fire; where most bundles are silent they are not.
    /// The sparsity that was asked for counts in what a token is expected to read; that decides.
    @Test func costDecides() throws {
        try Self.withBundled("llama-q8_0") { path in
            try Self.saveThresholds(of: path)
            var options = ModelOptions()
            options.memoryBytesMax = try Fixtures.leastBytes(path) { $0.sparse = .exact }
            var fetched: [Double] = []
            for sparsity in [nil, 0.5, 0.995] as [Float?] {
                options.activationSparsity = sparsity
                let sizing = try ModelInstance.division(path: path, options: options)
                let ways = sizing.neuronWays
                try #require(ways.map(\.mode) == [.off, .exact])
                #expect(
                    (sizing.plan.sparse != nil) == MachineSpeeds().prefers(ways[1], to: ways[0]))
                fetched.append(ways[1].fetchedBytes)
            }
            #expect(fetched[0] > fetched[1] && fetched[1] > 10 * fetched[2])
            options.sparse = .off
            #expect(try ModelInstance.division(path: path, options: options).plan.sparse == nil)
        }
    }

    @Test func predictionNeedsTheFirstRows() throws {
        try Self.withBundled("llama-q8_0") { path in
            let dense = try evaluate(path) { $0.isResident = true }
            let notices = Notices()
            let found = try evaluate(path) {
                $0.sparse = .predicted
                $0.onNotice = { notices.add($0) }
            }
            #expect(found == dense)
            #expect(notices.all.contains { $0.contains("first projection") }, "\(notices.all)")
        }
    }

    // MARK: helpers

    private static func withBundled(_ name: String, _ body: (String) throws -> Void) throws {
        let source = Fixtures.folder + "models/\(name).gguf"
        try Fixtures.withPacked(source, neurons: .bundled) { path in
            defer { _ = unsafe unlink(FiringThresholds.path(of: path)) }
            try body(path)
        }
    }

    private static func manifest(_ path: String) throws -> PackedManifest {
        try PackedModel(source: FileByteSource(path: path)).manifest
    }

    /// Thresholds that silence some: from the magnitudes of one evaluation.
    @discardableResult
    private static func saveThresholds(of path: String) throws -> FiringThresholds {
        var options = ModelOptions()
        options.isResident = true
        options.logitsRowsMax = 8
        let model = try ModelInstance(path: path, options: options)
        let shape = model.manifest.shape
        let activation = shape.activation
        var magnitudes = [[Float]](repeating: [], count: shape.layerCount)
        model.transformer.observer.onNeurons = { layer, _, projections, tokens in
            let count = tokens * shape.feedForwardWidth
            var values = (0..<count).map { projections[$0] }
            var span = values.mutableSpan
            Kernels.best.activate(activation, &span, count: count)
            magnitudes[layer] += values.map(abs)
        }
        _ = try Evaluator(model: model).evaluate(Self.tokens, generate: 0)
        let thresholds = FiringThresholds(
            quantiles: magnitudes.map { values in
                let sorted = values.sorted()
                return (1...FiringThresholds.count).map {
                    sorted[min($0 * sorted.count / FiringThresholds.count, sorted.count - 1)]
                }
            })
        try FiringThresholds.sidecar(besides: path, digest: model.manifest.source.digest)
            .write(thresholds)
        return thresholds
    }

    private func evaluate(
        _ path: String, _ configure: (inout ModelOptions) -> Void,
        prepare: (ModelInstance) -> Void = { _ in }
    ) throws -> Evaluation {
        var options = ModelOptions()
        options.logitsRowsMax = 8
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        prepare(model)
        return try Evaluator(model: model).evaluate(Self.tokens, generate: 8)
    }
}
