// Thresholds that a calibration finds: at each sparsity about that share of neurons is silent, and
// what it says the model then loses is what the model loses.

import Calibration
import FlashStorage
import Glibc
import Inference
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Packing
import TestSupport
import Testing
import Weights

private let models =
    FileSystem.parent(of: FileSystem.parent(of: #filePath)) + "/Fixtures/models/"

@Suite struct FiringTests {
    private static let tokens = (0..<Int32(1280)).map { index in
        TokenID(rawValue: (index * index + 7 * index) % 250)
    }

    @Test(arguments: ["llama-q8_0", "llama", "arcee-q8_0"])
    func sharesAreAsAsked(name: String) throws {
        try Self.withModel(name, .bundled) { model in
            var shown: [Double] = []
            let found = try FiringCalibrator(model: model) { shown.append($0) }
                .calibrate(Self.tokens)
            #expect(shown == shown.sorted() && shown.last == 1)
            #expect(found.points.first?.sparsity == 0 && found.points.count > 5)
            let natural = try #require(found.points.first?.silentShare)
            #expect(name.hasPrefix("arcee") ? natural > 0.3 : natural == 0)
            for point in found.points {
                // Layers whose own silence is more than was asked for are left alone.
                #expect(point.silentShare > point.sparsity - 0.06, "\(point)")
                #expect(
                    natural > 0 || abs(point.silentShare - point.sparsity) < 0.06, "\(point)")
                #expect(point.bytesShare > 0 && point.loss.isFinite)
            }
            let shares = found.points.map(\.silentShare)
            #expect(shares == shares.sorted())
            #expect(model.transformer.firingThresholds.isEmpty)
            try Self.expectLoss(of: #require(found.points.last), found.thresholds, model)
        }
    }

    /// The file beside the model and the option for it are what was measured.
    private static func expectLoss(
        of point: SparsityPoint, _ thresholds: FiringThresholds, _ model: ModelInstance
    ) throws {
        let path = model.path
        defer { _ = unsafe unlink(FiringThresholds.path(of: path)) }
        try FiringThresholds.sidecar(besides: path, digest: model.manifest.source.digest)
            .write(thresholds)
        var options = Self.options
        options.activationSparsity = point.sparsity
        let other = try ModelInstance(path: path, options: options)
        let heldOut = Array(tokens[(tokens.count - tokens.count / 5)...])
        let loss = try Evaluator(model: other).evaluate(heldOut, generate: 0).meanLoss
        #expect(loss == point.loss)
    }

    @Test func whatCannotBeCalibratedIsRefused() throws {
        try Self.withModel("llama", .whole) { model in
            #expect(throws: CalibrationError.self) {
                try FiringCalibrator(model: model) { _ in }
            }
        }
        try Self.withModel("llama", .bundled) { model in
            let calibrator = try FiringCalibrator(model: model) { _ in }
            #expect(throws: CalibrationError.self) {
                try calibrator.calibrate(Array(Self.tokens.prefix(1000)))
            }
        }
    }

    private static var options: ModelOptions {
        var options = ModelOptions()
        options.prefillChunkTokens = 16
        options.logitsRowsMax = 16
        return options
    }

    private static func withModel(
        _ name: String, _ neurons: NeuronPacking, _ body: (ModelInstance) throws -> Void
    ) throws {
        let packed = "/tmp/sluice-firing-\(getpid())-\(UInt64.random(in: 0..<(.max))).sluice"
        defer { _ = unsafe unlink(packed) }
        let source = try FileByteSource(path: "\(models)\(name).gguf")
        _ = try Packer(parts: [source], neurons: neurons).write(
            to: packed, overwrite: false, processID: getpid())
        try body(ModelInstance(path: packed, options: options))
    }
}
