// How long a token is expected to take one way or another on a machine whose speeds are known: the
// one model of cost that ways are chosen by and that `sluice show` prints. docs/NEURON-READS.md,
// "What a token is expected to cost", compares it with measurements.

package import FlashStorage

extension MachineSpeeds {
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
