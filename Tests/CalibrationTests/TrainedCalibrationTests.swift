// Calibration of the trained model with real sparsity, from the import to the file beside it.

import Calibration
import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import Measurement
import Memory
import ModelFormat
import Models
import Packing
import TestSupport
import Testing
import Tokenization
import Weights

private let shared =
    FileSystem.parent(
        of: FileSystem.parent(of: FileSystem.parent(of: #filePath))) + "/../shared/models/"

@Suite(.enabled(if: FileSystem.exists(shared + "shell-relu2-q8_0.gguf"), "no ../shared/models"))
struct TrainedCalibrationTests {
    /// A tenth of the text: fewer tokens than a real calibration has.
    @Test func predictedNeuronsAreEnough() throws {
        let packed = "/tmp/sluice-calibration-\(getpid())-\(UInt64.random(in: 0..<(.max))).sluice"
        defer {
            _ = unsafe unlink(packed)
            _ = unsafe unlink(NeuronPredictors.path(of: packed))
        }
        let packer = try Packer(parts: [
            try FileByteSource(path: shared + "shell-relu2-q8_0.gguf")
        ])
        _ = try packer.write(to: packed, overwrite: false, processID: getpid())
        var options = ModelOptions()
        options.prefillChunkTokens = 16
        options.logitsRowsMax = 16
        let model = try ModelInstance(path: packed, options: options)
        let text = try #require(fileBytes(shared + "eval-chat.txt")).prefix(9000)
        let tokens = model.tokenizer.encode(
            utf8: Array(text), addSpecial: true, parseSpecial: true)
        var shown: [Double] = []
        let predictors = try Calibrator(model: model, recall: 0.95) { shown.append($0) }
            .calibrate(tokens)
        #expect(shown.sorted() == shown && shown.last == 1)
        let (fired, found, fetched) = predictors.layers.reduce(into: (Float(0), Float(0), Float(0)))
        {
            $0.0 += $1.quality.density
            $0.1 += $1.quality.density * $1.quality.recall
            $0.2 += $1.quality.fetchedShare / Float(predictors.layers.count)
        }
        #expect(found / fired >= 0.95)
        #expect(fetched < 0.25, "\(fetched)")
        #expect(predictors.thresholds.sorted(by: >) == predictors.thresholds)
        #expect(predictors.byteCount < 8 << 20)
        let sidecar = NeuronPredictors.sidecar(
            besides: packed, digest: model.manifest.source.digest)
        try sidecar.write(predictors)
        #expect(try sidecar.read(for: model.manifest.shape) == predictors)
        try lossIsStated(packed, tokens, predictors)
        try measureLadder(packed, Array(tokens.suffix(112)))
        try leastBudgetPredicts(packed)
    }

    /// What decoding by predicted neurons costs: perplexity within 3 %, over few tokens. It is then
    /// chosen where it is faster and allowed, and only there.
    private func lossIsStated(
        _ packed: String, _ tokens: [TokenID], _ predictors: NeuronPredictors
    ) throws {
        var shown: [Double] = []
        let quality = DecodingQuality(path: packed, options: ModelOptions()) { shown.append($0) }
        let decoding = try #require(try quality.measure(calibratedWith: tokens))
        #expect(decoding.tokens == tokens.count / 5)
        #expect(abs(decoding.perplexityLoss) < 0.03, "\(decoding)")
        #expect(shown.sorted() == shown && shown.last == 1)
        let digest = try ModelInstance(path: packed, options: ModelOptions()).manifest.source.digest
        func mode(lossMax: Double, stated loss: Float?) throws -> SparseMode? {
            var stated = predictors
            stated.report.decoding = loss.map {
                NeuronPredictors.Decoding(tokens: 100, loss: 1, predictedLoss: 1 + $0)
            }
            try NeuronPredictors.sidecar(besides: packed, digest: digest).write(stated)
            var options = ModelOptions()
            options.qualityLossMax = lossMax
            options.contextTokens = 128
            options.memoryBytesMax = 44 << 20
            options.flash.tuner = SlowDrive()
            return try ModelInstance.division(path: packed, options: options).plan.sparse?.mode
        }
        #expect(try mode(lossMax: 0.01, stated: 0.005) == .predicted)
        #expect(try mode(lossMax: 0.004, stated: 0.005) == .exact)
        #expect(try mode(lossMax: 0, stated: -0.005) == .exact)
        #expect(try mode(lossMax: 1, stated: nil) == .exact)
        try NeuronPredictors.sidecar(besides: packed, digest: digest).write(predictors)
    }

    /// Each part of reading neurons one by one reads less than the part before.
    private func measureLadder(_ packed: String, _ tokens: [TokenID]) throws {
        let whole = packed + ".whole"
        defer { _ = unsafe unlink(whole) }
        let source = try FileByteSource(path: shared + "shell-relu2-q8_0.gguf")
        _ = try Packer(parts: [source], neurons: .whole).write(
            to: whole, overwrite: false, processID: getpid())
        let manifest = try PackedModel(source: FileByteSource(path: whole)).manifest
        let bytes = manifest.matrices.reduce(0) { $0 + $1.byteCount }
        var plan = BenchmarkPlan()
        plan.promptTokens = 48
        plan.generatedTokens = 64
        plan.tokens = tokens
        var options = ModelOptions()
        options.contextTokens = 112
        options.flash.gapBytesMax = 0
        options.memoryBytesMax = try Ladder.halfBytes(
            path: packed, wholeBytes: bytes, options: options)
        let rows = try Ladder(path: packed, wholePath: whole, options: options, plan: plan).run()
        #expect(rows.map(\.step) == LadderStep.allCases)
        let read = rows.map { Double($0.run.generation.flashBytes) / 64 / Double(bytes) }
        #expect(abs(read[0] - 1) < 0.01 && read[1] < 0.7, "\(read)")
        #expect(read[2] < 0.6 && read[3] < 0.35 && read[4] < 0.2, "\(read)")
        #expect(read[5] < read[4] && read[6] == read[5], "\(read)")
        #expect(rows[2].run.loss == rows[3].run.loss)
        for row in rows[4...] {
            #expect(try #require(row.missed) < 0.1)
            #expect(row.weightBytes <= bytes / 2)
        }
        // Prompts take memory from windows that decoding has filled: rows must not run out.
        options.sparse = .predicted
        plan.runs = 3
        plan.generatedTokens = 24
        let model = try ModelInstance(path: packed, options: options)
        #expect(try Benchmark(model: model, plan: plan).run().count == 3)
    }

    /// What a refused budget says is needed suffices, to the byte.
    private func leastBudgetPredicts(_ packed: String) throws {
        var options = ModelOptions()
        options.sparse = .predicted
        options.contextTokens = 64
        options.memoryBytesMax = 1
        do {
            _ = try ModelInstance(path: packed, options: options)
            Issue.record("one byte was accepted")
        } catch LoadError.budget(let error) {
            options.memoryBytesMax = error.needed.sumBytes
        }
        let model = try ModelInstance(path: packed, options: options)
        #expect(model.plan.sparse?.mode == .predicted)
        #expect(
            try Evaluator(model: model).evaluate([TokenID(5), TokenID(9)], generate: 2)
                .greedy.count == 2)
    }

    @Test func modelsThatAreNotSparseAreRefused() throws {
        let path =
            FileSystem.parent(of: FileSystem.parent(of: #filePath))
            + "/Fixtures/models/llama.gguf"
        let packed = "/tmp/sluice-calibration-\(getpid())-\(UInt64.random(in: 0..<(.max))).sluice"
        defer { _ = unsafe unlink(packed) }
        let packer = try Packer(parts: [try FileByteSource(path: path)])
        _ = try packer.write(to: packed, overwrite: false, processID: getpid())
        let model = try ModelInstance(path: packed, options: ModelOptions())
        #expect(throws: CalibrationError.self) {
            _ = try Calibrator(model: model, recall: 0.95) { _ in }
        }
    }
}

/// A drive held to 200 MB/s, as one that was measured.
private struct SlowDrive: FlashTuner {
    func tuned(_ options: FlashOptions, path: String, memoryBytes: Int) -> FlashOptions { options }

    func speeds(forFile path: String) -> MachineSpeeds {
        MachineSpeeds(
            drive: DriveProfile(
                readerKind: "io_uring", isDirect: true,
                speeds: [
                    DriveSpeed(
                        pattern: .scattered, readBytes: 1 << 20, depth: 8, bytesPerSecond: 2e8)
                ], bytesPerSecondSustained: 2e8, isPaced: true, memoryBytes: 16 << 20),
            memoryBytesPerSecond: 1e10)
    }
}
