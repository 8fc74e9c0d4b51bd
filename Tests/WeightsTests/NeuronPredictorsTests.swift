// Predictors come back as they were written, and nothing else is taken for them.

import FlashStorage
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing
import Weights

@Suite struct NeuronPredictorsTests {
    private static let digest = "crc32c:1-2"

    @Test func predictorsComeBack() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let predictors = Self.random(seed: seed)
        let read = try Self.read(Self.encoded(predictors))
        #expect(read == predictors, "seed \(seed)")
        #expect(read.rankMax == 96 && read.neuronsMax == Self.neurons)
    }

    /// What predicting costs is stated, or not known: version 1 measured another choice of neurons.
    @Test func lossIsStatedOrUnknown() throws {
        var predictors = Self.random(seed: 6)
        #expect(try Self.read(Self.encoded(predictors)).report.decoding == nil)
        var first = Array(Self.encoded(predictors).dropLast(4))
        first[16] = 1
        // Recall and loss, then one more loss instead of a number and two losses.
        let after = Self.content + 4 * (2 + 1 + 20 + 4)
        first.removeSubrange(after..<after + 8)
        Self.setLength(&first)
        #expect(try Self.read(Self.sealed(first)) == predictors)
        predictors.report.decoding = NeuronPredictors.Decoding(
            tokens: 9, loss: 1.5, predictedLoss: 1.625)
        let read = try Self.read(Self.encoded(predictors))
        #expect(read == predictors)
        #expect(abs(try #require(read.report.decoding).perplexityLoss - 0.1331) < 1e-4)
    }

    @Test func filesBesideTheModelComeBack() throws {
        let packed = "/tmp/sluice-predictors-\(getpid())-\(UInt64.random(in: 0..<(.max)))"
        let path = NeuronPredictors.path(of: packed)
        defer { try? FileSystem.remove(path) }
        #expect(try Self.load(packed) == nil)
        let predictors = Self.random(seed: 3)
        try NeuronPredictors.sidecar(besides: packed, digest: Self.digest).write(predictors)
        #expect(try Self.load(packed) == predictors)
        // Another model's: stale.
        try NeuronPredictors.sidecar(besides: packed, digest: "crc32c:9-9").write(predictors)
        #expect(
            Self.complaint { _ = try Self.load(packed) }
                .contains("crc32c:9-9"))
    }

    @Test func otherModelsPredictorsAreRefused() throws {
        let bytes = Self.encoded(Self.random(seed: 1))
        #expect(Self.refusal(bytes, digest: "e")?.contains("sluice calibrate") == true)
        #expect(Self.refusal(bytes, width: 64) != nil)
        #expect(Self.refusal(bytes, layers: 3) != nil)
        #expect(Self.refusal(bytes, neurons: 17) != nil)
        #expect(Self.refusal(bytes) == nil)
    }

    @Test func damageIsRefused() throws {
        let bytes = Self.encoded(Self.random(seed: 2))
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(Self.refusal(Array(bytes.prefix(count))) != nil, "\(count) bytes")
        }
        var random = SplitMix(seed: 5)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(Self.refusal(damaged) != nil, "byte \(index)")
        }
    }

    /// Checksums that are right do not make sense of what is wrong.
    @Test func impossiblePredictorsAreRefused() throws {
        let good = Self.random(seed: 4)
        func changed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
            var bytes = Array(Self.encoded(good).dropLast(4))
            change(&bytes)
            Self.setLength(&bytes)
            return Self.sealed(bytes)
        }
        #expect(Self.refusal(changed { _ in }) == nil)
        #expect(Self.refusal(changed { $0.append(0) }) != nil)
        // The first layer's neurons, ranks and first offset follow the layers' number.
        let start = Self.content + 4 * (2 + 1 + 20 + 7 + 1)
        for word in 0..<3 {
            #expect(Self.refusal(changed { $0[start + 4 * word] ^= 1 }) != nil, "word \(word)")
        }
        #expect(
            Self.refusal(
                changed {
                    $0[start + 4] = 0xff; $0[start + 7] = 0xff
                }) != nil)
        #expect(
            Self.refusal(changed { for at in 12..<16 { $0[start + at] = 0xff } }) != nil, "NaN")
        // A neuron twice.
        let layer = good.layers[0]
        let order =
            start + 12 + 4 * layer.offsets.count + layer.fineEncoder.count
            + layer.coarseEncoder.count + layer.tiles.count
        #expect(
            Self.refusal(
                changed { for at in 0..<4 { $0[order + at] = $0[order + 4 + at] } }) != nil)
        #expect(Self.refusal(changed { $0[order + 3] = 1 }) != nil)
    }

    private static let neurons = 21
    /// Where the content begins: magic, kind, version, digest, length.
    private static let content = 8 + 8 + 4 + 4 + digest.utf8.count + 8

    private static func encoded(_ predictors: NeuronPredictors) -> [UInt8] {
        Sidecar(path: "p", digest: digest).encode(predictors)
    }

    /// Makes the stated length of the content that of a file without its checksum.
    private static func setLength(_ bytes: inout [UInt8]) {
        let count = UInt64(bytes.count - content)
        for index in 0..<8 {
            bytes[content - 8 + index] = UInt8(truncatingIfNeeded: count >> (8 * index))
        }
    }

    static func random(seed: UInt64) -> NeuronPredictors {
        var random = SplitMix(seed: seed)
        func floats(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
        }
        let layers = [(32, 64), (64, 0)].map { fine, coarse in
            var quality = LayerPredictor.Quality()
            quality.density = floats(1)[0]
            quality.recall = 0.97
            return LayerPredictor(
                neuronCount: neurons, fineRank: fine, coarseRank: coarse,
                offsets: floats(fine + coarse),
                fineEncoder: random.bytes(
                    LayerPredictor.fineFormat.tiledBytes(rows: fine, columns: 96)),
                coarseEncoder: random.bytes(
                    LayerPredictor.coarseFormat.tiledBytes(rows: coarse, columns: 96)),
                tiles: random.bytes(
                    LayerPredictor.tilesBytes(
                        neurons: neurons, fineRank: fine, coarseRank: coarse)),
                order: (0..<UInt32(neurons)).shuffled(using: &random),
                frequencies: (0..<neurons).map { _ in UInt16.random(in: 0...(.max), using: &random)
                }, quality: quality)
        }
        var report = NeuronPredictors.Report()
        report.tokens = 100
        report.loss = 1.5
        return NeuronPredictors(
            width: 96, neuronsPerBundle: 3, threshold: 0.25, thresholds: floats(20),
            report: report, layers: layers)
    }

    static func shape(width: Int, layers: Int, neurons: Int = neurons) -> ModelShape {
        .alike(
            "arcee", layerCount: layers, width: width,
            attention: .rotating(heads: 1, keyValueHeads: 1, width: width),
            feedForward: FeedForwardShape(
                DenseShape(width: neurons, activation: .relu2, isGated: false)))
    }

    private static func load(_ packed: String) throws -> NeuronPredictors? {
        try NeuronPredictors.sidecar(besides: packed, digest: digest)
            .read(for: shape(width: 96, layers: 2, neurons: neurons))
    }

    private static func read(
        _ bytes: [UInt8], digest: String = digest, width: Int = 96, layers: Int = 2,
        neurons: Int = neurons
    ) throws -> NeuronPredictors {
        let shape = shape(width: width, layers: layers, neurons: neurons)
        do {
            return try Sidecar<NeuronPredictors>(path: "p", digest: digest)
                .decode(bytes, for: shape)
        } catch {
            throw SidecarError(NeuronPredictors.kind, .format(error))
        }
    }

    private static func refusal(
        _ bytes: [UInt8], digest: String = digest, width: Int = 96, layers: Int = 2,
        neurons: Int = neurons
    ) -> String? {
        let message = complaint {
            _ = try read(bytes, digest: digest, width: width, layers: layers, neurons: neurons)
        }
        return message.isEmpty ? nil : message
    }

    private static func complaint(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return "\(error)"
        }
    }

    private static func sealed(_ content: [UInt8]) -> [UInt8] {
        let sum = unsafe Checksum.of(content.span.bytes)
        return content + [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: sum >> $0) }
    }
}
