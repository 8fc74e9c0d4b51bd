// Neuron bundles as import makes them: the rule for their size, formats whose columns are
// re-quantised, and what is refused. RoundTripTests compares their bytes with the source's.

import Glibc
import ModelFormat
import Packing
import TestSupport
import Testing

@Suite struct NeuronPackingTests {
    @Test(arguments: [
        // Bytes of a record, and how many make a bundle of whole blocks.
        (1056, 3), (1600, 2), (5280, 2), (16384, 1), (8192, 1), (512, 8), (2, 2048), (10240, 1)
    ])
    func bundlesAreWholeBlocks(record: Int, expected: Int) {
        let count = PackedNeuronLayer.neuronsPerBundle(recordBytes: record, count: 1 << 16)
        #expect(count == expected)
        let bytes = PackedLayout.aligned(count * record)
        #expect(Double(bytes - count * record) <= 0.25 * Double(bytes))
        #expect(PackedNeuronLayer.neuronsPerBundle(recordBytes: record, count: 1) == 1)
    }

    /// Where half of all neurons fire, bundles that are read for few of their neurons cost most.
    @Test(arguments: [
        (2176, 1), (3200, 1), (4096, 1), (4224, 1), (4352, 1), (4800, 1), (6400, 1), (8448, 1),
        (64, 64), (1, 4096)
    ])
    func bundlesForHalfOfAllNeurons(record: Int, expected: Int) {
        #expect(PackedNeuronLayer.neuronsPerBundle(halfFiring: record, count: 1 << 16) == expected)
        #expect(PackedNeuronLayer.neuronsPerBundle(halfFiring: record, count: 1) == 1)
    }

    /// Formats with minima or longer blocks: columns become 8-bit blocks, and the manifest says so.
    @Test(arguments: [WeightFormat.q4_1, .q5_0, .q4_K, .q6_K])
    func otherFormatsAreRequantized(format: WeightFormat) throws {
        let directory = try TemporaryDirectory()
        let tiny = TinyModel(architecture: "arcee").with(format)
        let (model, packed) = try pack([tiny.source()], in: directory)
        try PackedVerifier.verify(model, source: packed)
        let record = try #require(model.manifest.neurons?.first)
        #expect(record.down == .q8_0 && record.scales == nil && record.up == format)
        let entry = try #require(model.manifest.requantizations?.first)
        #expect(entry.type == format.rawValue && entry.isTransposed == true)
        #expect(entry.tensorCount == tiny.layers)
        #expect(model.manifest.conversions.first?.contains("along its columns") == true)
    }

    @Test func modelsWithoutSparsityHaveNone() throws {
        let directory = try TemporaryDirectory()
        let silu = try pack([TinyModel().source()], in: directory, name: "a.sluice").model
        #expect(silu.manifest.neurons == nil)
        let gelu = try pack(
            [TinyModel(architecture: "arcee").source()], in: directory, name: "b.sluice",
            activation: .gelu)
        #expect(gelu.model.manifest.neurons == nil)
        #expect(gelu.model.manifest.matrix(.feedForwardDown, layer: 1) != nil)
    }

    /// Biases of gates, of ups without and of downs lie apart; those behind gates would not.
    @Test(arguments: ["llama", "nemotron"])
    func biasesBehindGatesAreNotBundled(architecture: String) throws {
        let directory = try TemporaryDirectory()
        for biases in [false, true] {
            let tiny = TinyModel(architecture: architecture, biases: biases)
            let (model, packed) = try pack(
                [tiny.source()], in: directory, name: "\(biases).sluice", activation: .relu)
            #expect((model.manifest.neurons == nil) == (biases && architecture == "llama"))
            #expect((model.manifest.vectors.entry(.feedForwardDownBias, layer: 1) != nil) == biases)
            try PackedVerifier.verify(model, source: packed)
        }
    }

    @Test(arguments: ["llama", "arcee"])
    func neuronsAreArrangedAsAsked(architecture: String) throws {
        let directory = try TemporaryDirectory()
        let tiny = TinyModel(architecture: architecture, format: .q8_0)
        for (packing, isBundled) in [
            (nil, architecture == "arcee"), (NeuronPacking.bundled, true), (.whole, false)
        ] {
            let (model, packed) = try pack(
                [tiny.source()], in: directory, name: "\(isBundled)-\(packing == nil).sluice",
                neurons: packing)
            #expect((model.manifest.neurons != nil) == isBundled)
            #expect((model.manifest.matrix(.feedForwardDown, layer: 1) == nil) == isBundled)
            try PackedVerifier.verify(model, source: packed)
        }
    }

    @Test(arguments: [
        TinyModel(biases: true), TinyModel(architecture: "olmoe", experts: 4)
    ])
    func whatCannotBeBundledIsRefused(tiny: TinyModel) throws {
        let directory = try TemporaryDirectory()
        #expect(throws: PackingError.self) {
            try pack([tiny.source()], in: directory, neurons: .bundled)
        }
    }

    @Test func packingTwiceGivesTheSameBytes() throws {
        let directory = try TemporaryDirectory()
        let tiny = TinyModel(
            architecture: "arcee", format: .q8_0, width: 256, feedForward: 9600)
        let first = try contents(pack([tiny.source()], in: directory, name: "a.sluice").source)
        let second = try contents(pack([tiny.source()], in: directory, name: "b.sluice").source)
        #expect(first == second)
    }

    @Test func everyBundleIsChecked() throws {
        let packed = try PackedBytes(TinyModel(architecture: "arcee", format: .q8_0))
        let model = try PackedModel(source: packed.source)
        for record in try #require(model.manifest.neurons) {
            let checksums = try model.neuronChecksums(record, from: packed.source)
            var extents = [record.checksums, record.places, try #require(record.scales)]
            for bundle in 0..<record.bundleCount {
                extents.append(record.extent(bundle: bundle, checksums: checksums))
            }
            for extent in extents {
                var damaged = packed
                damaged.bytes[Int(extent.offset) + extent.byteCount - 1] ^= 4
                let error = try #require(
                    throws: FormatError.self,
                    performing: {
                        let model = try PackedModel(source: damaged.source)
                        try PackedVerifier.verify(model, source: damaged.source)
                    })
                #expect(error.offset == extent.offset && error.expected.contains("neurons"))
            }
        }
    }

    @Test func contradictionsAreRefused() throws {
        let packed = try PackedBytes(TinyModel(architecture: "arcee", format: .q8_0))
        let manifest = try PackedModel(source: packed.source).manifest
        func refuses(_ change: (inout PackedNeuronLayer) -> Void) throws {
            var other = manifest
            change(&other.neurons![1])
            let bytes = packed.replacingManifest(try other.encodedJSON(file: "tiny.sluice"))
            #expect(throws: FormatError.self) { try PackedModel(source: bytes.source) }
        }
        try refuses { $0.layer = 0 }
        try refuses { $0.count += 1 }
        try refuses { $0.width += 32 }
        try refuses { $0.gate = .q8_0 }
        try refuses { $0.down = .q4_K }
        try refuses { $0.scales?.byteCount += 2 }
        try refuses { $0.neuronsPerBundle = 0 }
        try refuses { $0.neuronsPerBundle = .max }
        try refuses { $0.offset = .max / 4096 * 4096 }
        try refuses { $0.checksums.byteCount += 8 }
        try refuses { $0.places.offset += 1 }
        var none = manifest
        none.neurons = nil
        let bytes = packed.replacingManifest(try none.encodedJSON(file: "tiny.sluice"))
        #expect(throws: FormatError.self) { try PackedModel(source: bytes.source) }
    }
}
