// How fast a drive is with reads of one kind or another.

/// Long reads into a ring: of extents, one to a slot.
package struct StreamedReads: Sendable, Equatable {
    /// Bytes of one, in the mean.
    package let readBytes: Int
    /// Under way at once: as many as there are slots beside the one that is computed on and the one
    /// that came and waits for that.
    package let depth: Int

    package init(readBytes: Int, depth: Int) {
        self.readBytes = readBytes
        self.depth = depth
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
