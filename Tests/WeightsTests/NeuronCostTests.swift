// What a token is expected to read: the paper's own figures for its shape, windows and orders
// worked out by hand, and how measured drives change what is preferred.

import FlashStorage
import Knobs
import ModelFormat
import Testing
import Weights

@Suite struct NeuronCostTests {
    /// "LLM in a flash" (arXiv 2312.11514), table 3: OPT-6.7B in 16 bits reads 13.4 GB, 6.7, 0.9
    /// and 0.2 for each token; a tenth of neurons is predicted, 2.4 % are new to the window.
    @Test func ladderIsThePapers() {
        let shape = NeuronLadder.Shape(
            layers: 32, width: 4096, feedForwardWidth: 16384, vocabulary: 50272, rowBytes: 8192)
        #expect(shape.bundleBytes == 16384 && shape.neuronsPerBundle == 1)
        let ladder = NeuronLadder(shape, predicted: 0.1, missing: 0.024)
        #expect(abs(ladder.everything / 13.4e9 - 1) < 0.01)
        #expect(ladder.half * 2 == ladder.everything)
        #expect(abs(ladder.predictor / ladder.everything - 0.067) < 0.003)
        #expect(abs(ladder.window / ladder.everything - 0.015) < 0.001)
    }

    /// The table in docs/NEURON-READS.md: 2,560 wide, with the paper's shares and with those of
    /// shell-relu2 (0.0592 predicted at a recall of 0.95, 0.0282 of them new after 8 tokens).
    @Test(arguments: [
        (10240, 20480, 1, [0.0634, 0.0152], [0.0375, 0.0179]),
        (5120, 12288, 1, [0.0761, 0.0183], [0.0451, 0.0215]),
        (2720, 12288, 2, [0.1361, 0.0340], [0.0823, 0.0398])
    ])
    func ladderOfOtherShapes(
        rowBytes: Int, bundleBytes: Int, neurons: Int, paper: [Double], trained: [Double]
    ) {
        let shape = NeuronLadder.Shape(
            layers: 32, width: 2560, feedForwardWidth: 10240, vocabulary: 50272,
            rowBytes: rowBytes)
        #expect(shape.bundleBytes == bundleBytes && shape.neuronsPerBundle == neurons)
        func shares(_ predicted: Double, _ missing: Double) -> [Double] {
            let ladder = NeuronLadder(shape, predicted: predicted, missing: missing)
            return [ladder.predictor, ladder.window].map {
                ($0 / ladder.everything * 10000).rounded() / 10000
            }
        }
        #expect(shares(0.1, 0.024) == paper)
        #expect(shares(0.0592, 0.0282) == trained)
    }

    // MARK: machines

    private static func way(
        _ mode: SparseMode, streamed: Double, fetched: Double = 0, reads: Double = 0,
        layers: Double = 0, depth: Int? = nil, touched: Double = 0, neurons: Double = 0
    ) -> NeuronWay {
        NeuronWay(
            mode: mode, streamedBytes: streamed, fetchedBytes: fetched, fetchedReads: reads,
            fetchingLayers: layers,
            streamedReads: depth.map { StreamedReads(readBytes: 1_500_000, depth: $0) },
            touchedBytes: touched, neuronBytes: neurons)
    }

    /// 1 GB/s in long reads; reads of 64 KiB at a share of that.
    private static func drive(share: Double, isPaced: Bool = false) -> DriveProfile {
        func speed(_ bytes: Int, _ rate: Double) -> DriveSpeed {
            DriveSpeed(pattern: .scattered, readBytes: bytes, depth: 32, bytesPerSecond: rate)
        }
        return DriveProfile(
            readerKind: "io_uring", isDirect: true,
            speeds: [speed(65536, 1e9 * share), speed(1 << 20, 1e9)],
            bytesPerSecondSustained: isPaced ? 5e8 : 9e8, isPaced: isPaced, memoryBytes: 1 << 24)
    }

    @Test func smallReadsCostWhatTheDriveSays() throws {
        let whole = Self.way(.off, streamed: 50e6)
        let exact = Self.way(.exact, streamed: 10e6, fetched: 16e6, reads: 4000)
        // Unknown: twice as dear. 10 + 32 < 50.
        #expect(MachineSpeeds().flashBytes(exact) == 42e6)
        #expect(MachineSpeeds().seconds(exact) == nil)
        #expect(MachineSpeeds().prefers(exact, to: whole))
        // A read costs as much as 64 KiB / 4 do: 10 + 16 + 4000 * 16384 > 50.
        let slow = MachineSpeeds(drive: Self.drive(share: 0.8))
        #expect(slow.flashBytes(exact) == 26e6 + 4000 * 16384)
        #expect(!slow.prefers(exact, to: whole) && slow.prefers(whole, to: exact))
        let quick = MachineSpeeds(drive: Self.drive(share: 0.95))
        // Where small reads are quick, it is their number that costs: 24 ms of books, or 6.
        #expect(!quick.prefers(exact, to: whole))
        let few = Self.way(.exact, streamed: 10e6, fetched: 16e6, reads: 1000)
        #expect(quick.prefers(few, to: whole))
        // Long reads as they were chosen: of 1 MiB.
        #expect(abs(try #require(quick.seconds(whole)) - 0.05) < 1e-9)
        // Held to a rate, a drive counts bytes alone.
        let paced = MachineSpeeds(drive: Self.drive(share: 0.8, isPaced: true))
        #expect(paced.flashBytes(exact) == 26e6)
        // Each read costs the processor 6 microseconds.
        #expect(abs(try #require(paced.seconds(exact)) - 0.076) < 1e-9)
        #expect(paced.prefers(exact, to: whole))
    }

    /// With few reads at once a drive streams as it was measured with few, at best; layers that
    /// wait for small reads wait for the drive's answer besides.
    @Test func ringsAndLayersWait() throws {
        func speed(
            _ pattern: DriveSpeed.Pattern, _ bytes: Int, _ depth: Int, _ rate: Double
        ) -> DriveSpeed {
            DriveSpeed(pattern: pattern, readBytes: bytes, depth: depth, bytesPerSecond: rate)
        }
        let drive = DriveProfile(
            readerKind: "io_uring", isDirect: true,
            speeds: [
                speed(.scattered, 4096, 8, 8 * 4096 / 0.0002),
                speed(.scattered, 1 << 20, 2, 5e8), speed(.forward, 1 << 20, 2, 6e8),
                speed(.scattered, 1 << 20, 8, 1e9), speed(.forward, 1 << 20, 8, 9e8)
            ], bytesPerSecondSustained: 9e8, memoryBytes: 1 << 24)
        let machine = MachineSpeeds(drive: drive, memoryBytesPerSecond: 1e9)
        #expect(machine.seconds(Self.way(.off, streamed: 6e6, depth: 5)) == 0.01)
        #expect(machine.seconds(Self.way(.off, streamed: 1e7)) == 0.01)
        let waiting = Self.way(.exact, streamed: 0, reads: 10, layers: 4)
        let reading = 10 * Double(drive.gapBytes) / drive.bytesPerSecondMax + 10 * 6e-6
        // Nothing is known to be read without bytes.
        #expect(machine.seconds(waiting) == 0)
        let seconds = try #require(
            machine.seconds(Self.way(.exact, streamed: 0, fetched: 1e-9, reads: 10, layers: 4)))
        #expect(abs(seconds - reading - 4 * 0.0002) < 1e-9)
    }

    /// Streaming goes on while computing; computing waits for neurons, whose bytes cost more. Where
    /// two ways take as long, whoever reads less wins.
    @Test func computingCountsToo() throws {
        let whole = Self.way(.off, streamed: 1e6, touched: 100e6)
        let exact = Self.way(
            .exact, streamed: 0, fetched: 2e6, reads: 1, touched: 50e6, neurons: 4e6)
        let fewer = Self.way(.off, streamed: 0.5e6, touched: 100e6)
        let machine = MachineSpeeds(drive: Self.drive(share: 1), memoryBytesPerSecond: 1e9)
        #expect(machine.seconds(whole) == 0.1)
        #expect(abs(try #require(machine.seconds(exact)) - 0.062006) < 1e-9)
        #expect(machine.prefers(exact, to: whole) && machine.prefers(fewer, to: whole))
        #expect(!machine.prefers(whole, to: fewer) && !machine.prefers(whole, to: whole))
    }

    // MARK: neurons

    /// Eight neurons, two in a bundle.
    private static func layer(isReordered: Bool = false) -> PackedNeuronLayer {
        let nowhere = PackedExtent(offset: 0, byteCount: 0, checksum: 0)
        return PackedNeuronLayer(
            layer: 0, count: 8, width: 32, gate: nil, up: .q8_0, down: .q8_0, scales: nil,
            neuronsPerBundle: 2, offset: 0, isReordered: isReordered, checksums: nowhere,
            places: nowhere)
    }

    private static func rates(
        _ frequencies: [Double], order: [UInt32] = Array(0..<8), fetched: Float = 0
    ) -> FiringRates {
        var quality = LayerPredictor.Quality()
        quality.fetchedShare = fetched
        let layer = LayerPredictor(
            neuronCount: frequencies.count, fineRank: 0, coarseRank: 0, offsets: [],
            fineEncoder: [], coarseEncoder: [], tiles: [], order: order,
            frequencies: frequencies.map { UInt16($0 * 65535) }, quality: quality)
        return .calibrated(
            NeuronPredictors(
                width: 32, neuronsPerBundle: 2, threshold: 0, thresholds: [],
                report: NeuronPredictors.Report(), layers: [layer]))
    }

    private static func bundles(
        _ rates: FiringRates, rows: Int, isReordered: Bool = false,
        mode: SparseMode = .exact
    ) -> Double {
        let fetch = rates.fetch(
            layer(isReordered: isReordered), index: 0, mode: mode, windowRows: rows)
        return (fetch.bundles * 1000).rounded() / 1000
    }

    @Test func theWindowKeepsTheMostFrequent() {
        let rates = Self.rates([1, 0, 0.5, 0.5, 0, 0, 0.25, 0])
        #expect(Self.bundles(rates, rows: 0) == 1 + 0.75 + 0.25)
        #expect(Self.bundles(rates, rows: 1) == 1)
        #expect(Self.bundles(rates, rows: 2) == 0.5 + 0.25)
        #expect(Self.bundles(rates, rows: 4) == 0 && Self.bundles(rates, rows: 99) == 0)
        // Another order of the file: 2 lies beside 0.
        let order: [UInt32] = [0, 2, 1, 3, 4, 5, 6, 7]
        let reordered = Self.rates([1, 0, 0.5, 0.5, 0, 0, 0.25, 0], order: order)
        #expect(Self.bundles(reordered, rows: 0, isReordered: true) == 1 + 0.5 + 0.25)
        #expect(Self.bundles(reordered, rows: 0) == 2)
    }

    /// All next to each other, none, and every other one with and without its gap.
    @Test func nearBundlesAreReadTogether() {
        func runs(_ bundles: Double, gap: Int, most: Int = 8) -> [Double] {
            let runs = BundleRuns(bundles: bundles, of: 64, gapMax: gap, countMax: most)
            return [runs.reads, runs.bundlesRead]
        }
        #expect(runs(64, gap: 0) == [8, 64] && runs(0, gap: 3) == [0, 0])
        // Half of the next ones follow at once; of the others, half after one.
        #expect(runs(32, gap: 0, most: 64) == [16, 32])
        #expect(runs(32, gap: 1, most: 64) == [8, 40])
        // Never more than there are.
        #expect(runs(32, gap: 60, most: 64)[1] <= 64)
        #expect(runs(32, gap: 1, most: 2) == [20, 40])
    }

    /// Half of the bundles are predicted; half of what fires is in memory.
    @Test func predictionsShrinkWithTheWindow() {
        let rates = Self.rates([1, 0, 0.5, 0.5, 0, 0, 0, 0], fetched: 0.5)
        #expect(Self.bundles(rates, rows: 0, mode: .predicted) == 2)
        #expect(Self.bundles(rates, rows: 1, mode: .predicted) == 1)
        #expect(Self.bundles(rates, rows: 3, mode: .predicted) == 0)
    }

    /// Without calibration, or with one of another shape: a tenth fires, spread evenly.
    @Test func withoutCalibrationATenthFires() {
        for rates in [FiringRates.alike(FiringRates.densityAssumed), Self.rates([1, 1])] {
            #expect(Self.bundles(rates, rows: 0) == 0.76)
            #expect(Self.bundles(rates, rows: 4) == 0.39)
            #expect(Self.bundles(rates, rows: 8) == 0)
        }
    }
}
