// How long a token is expected to take one way or another on a machine whose speeds are known: the
// one model of cost that ways are chosen by and that `sluice show` prints. docs/NEURON-READS.md,
// "What a token is expected to cost", compares it with measurements.

/// What is known of a machine.
package struct MachineSpeeds: Sendable {
    /// What a byte of bundles costs beside one of long reads where no drive was measured: on the
    /// low side.
    private static let smallReadFactor = 2.0
    /// Where nobody measured memory: what small boards do.
    private static let memoryBytesPerSecondAssumed = 8e9
    /// A byte of a neuron that is computed by itself takes as long as so many of a matrix.
    private static let neuronByteFactor = 2.5
    /// What a read of neurons costs the processor: its place in the books, submission, copying.
    private static let secondsPerRead = 6e-6
    /// With fewer long reads at once, computing was not seen to hide behind them.
    private static let hidingDepthMin = 6

    package var drive: DriveProfile?
    package var memoryBytesPerSecond: Double?
    /// ``FlashOptions/gapBytesMax`` as it will be; nil leaves it as it is.
    package var gapBytesMax: Int?

    package init(
        drive: DriveProfile? = nil, memoryBytesPerSecond: Double? = nil, gapBytesMax: Int? = nil
    ) {
        self.drive = drive
        self.memoryBytesPerSecond = memoryBytesPerSecond
        self.gapBytesMax = gapBytesMax
    }

    /// Bytes of long reads that take as long as what `way` reads: a read of its own costs a drive
    /// as much as ``DriveProfile/gapBytes`` more bytes.
    package func flashBytes(_ way: NeuronWay) -> Double {
        guard let drive else { return way.streamedBytes + way.fetchedBytes * Self.smallReadFactor }
        return way.bytes + way.fetchedReads * Double(drive.gapBytes)
    }

    /// How long a token takes.
    ///
    /// What is streamed through a long ring is read while other things are computed: the longer of
    /// the two counts. A short ring hides nothing, and neurons are known only when their layer's
    /// input is: that adds up.
    ///
    /// - Returns: nil where the drive is not known and something is read.
    package func seconds(_ way: NeuronWay) -> Double? {
        let computing =
            (way.touchedBytes + way.neuronBytes * Self.neuronByteFactor)
            / (memoryBytesPerSecond ?? Self.memoryBytesPerSecondAssumed)
        guard way.bytes > 0 else { return computing }
        guard let drive else { return nil }
        let streaming = way.streamedBytes / drive.bytesPerSecond(way.streamedReads)
        let best = drive.bytesPerSecondMax
        let fetching =
            (way.fetchedBytes + way.fetchedReads * Double(drive.gapBytes)) / best
            + way.fetchedReads * Self.secondsPerRead + way.fetchingLayers * drive.secondsToAnswer
        let hides =
            way.fetchedReads == 0 && way.streamedReads?.depth ?? .max >= Self.hidingDepthMin
        return hides ? max(streaming, computing) : streaming + fetching + computing
    }

    /// Whether a token takes less time one way than another; where no speed is known, whether it
    /// keeps the drive less busy.
    package func prefers(_ way: NeuronWay, to other: NeuronWay) -> Bool {
        if let mine = seconds(way), let its = seconds(other), mine != its { return mine < its }
        return flashBytes(way) < flashBytes(other)
    }
}

extension DriveProfile {
    /// The speed of long reads made like `reads` (nil: as they were chosen for the drive): the best
    /// that was measured of reads no longer and no more at once. Single measurements are too slow
    /// where something else was reading, and never too fast.
    package func bytesPerSecond(_ reads: StreamedReads?) -> Double {
        if isPaced { return bytesPerSecondSustained }
        let bytes = min(choice.readBytes, reads?.readBytes ?? .max)
        let depth = min(choice.depth, reads?.depth ?? .max)
        let long = speeds.filter { $0.readBytes >= DriveProbe.readSizes[0] }
        let alike = long.filter { $0.readBytes <= bytes && $0.depth <= depth }
        return alike.map(\.bytesPerSecond).max() ?? long.map(\.bytesPerSecond).min()
            ?? bytesPerSecondMax
    }

    /// Seconds until the first of a few small reads comes back; 0 where none were measured.
    package var secondsToAnswer: Double {
        let small = speeds.filter { $0.pattern == .scattered && $0.readBytes < 64 << 10 }
        guard !isPaced,
            let least = small.min(by: { ($0.readBytes, $0.depth) < ($1.readBytes, $1.depth) })
        else { return 0 }
        return Double(least.depth * least.readBytes) / least.bytesPerSecond
    }
}
