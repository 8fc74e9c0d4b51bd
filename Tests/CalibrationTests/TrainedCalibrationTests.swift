// Calibration of the trained model with real sparsity, from the import to the file beside it.

import Calibration
import Glibc
import LinuxSystem
import ModelFiles
import ModelFormat
import Packing
import Scheduling
import TestSupport
import Testing
import Tokenization
import WeightStore

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
        // Perplexity within 1 %.
        let report = predictors.report
        #expect(abs(report.predictedLoss - report.loss) < 0.01, "\(report)")
        #expect(predictors.thresholds.sorted(by: >) == predictors.thresholds)
        #expect(predictors.byteCount < 8 << 20)
        try predictors.save(besides: packed, digest: model.manifest.source.digest)
        let loaded = try NeuronPredictors.load(
            besides: packed, digest: model.manifest.source.digest,
            hyperparameters: model.manifest.hyperparameters)
        #expect(loaded == predictors)
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
