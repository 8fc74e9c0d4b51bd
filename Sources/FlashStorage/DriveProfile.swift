// What a drive was measured at, and the size and number of reads that follow from it.

/// The speed of one kind of reading.
package struct DriveSpeed: Sendable, Equatable {
    package enum Pattern: String, Sendable, CaseIterable {
        /// From front to back.
        case forward
        /// At random places of the whole file.
        case scattered
        /// At random places of several files.
        case across
    }

    package let pattern: Pattern
    package let readBytes: Int
    package let depth: Int
    package let bytesPerSecond: Double

    package init(pattern: Pattern, readBytes: Int, depth: Int, bytesPerSecond: Double) {
        self.pattern = pattern
        self.readBytes = readBytes
        self.depth = depth
        self.bytesPerSecond = bytesPerSecond
    }
}

/// How a drive is best read.
package struct DriveChoice: Sendable, Equatable {
    package let readBytes: Int
    package let depth: Int

    package init(readBytes: Int, depth: Int) {
        self.readBytes = readBytes
        self.depth = depth
    }
}

/// What a drive was measured at.
package struct DriveProfile: Sendable, Equatable {
    /// Of the fastest speed, what a size and depth must reach to be chosen.
    private static let shareWanted = 0.95
    /// Weights are stored in extents of about a mebibyte, and longer reads of them do not exist;
    /// shorter ones than a quarter cost the processor more. Others only where they are faster than
    /// what measurements differ by anyway.
    private static let readBytesPreferred = (256 << 10)...(1 << 20)
    private static let sharePreferred = 0.85
    /// When one read has ended, the others in flight must last this long: the thread that issues
    /// the next one may be computing.
    private static let slackSeconds = 0.001
    /// Kept measurements may claim any speed.
    private static let gapBytesLimit = 1 << 30

    /// `io_uring` or `pread`.
    package let readerKind: String
    /// Whether reads bypass the page cache.
    package let isDirect: Bool
    /// Not empty.
    package let speeds: [DriveSpeed]
    /// Over half a second of scattered reads.
    package let bytesPerSecondSustained: Double
    /// Reads come in bursts with pauses between them: something holds the drive to a rate, as
    /// cgroups do. What short measurements of such a drive say is bounded by the sustained rate.
    package let isPaced: Bool
    /// Bytes in flight at most while measuring.
    package let memoryBytes: Int

    package init(
        readerKind: String, isDirect: Bool, speeds: [DriveSpeed], bytesPerSecondSustained: Double,
        isPaced: Bool = false, memoryBytes: Int
    ) {
        precondition(!speeds.isEmpty, "a profile has measurements")
        self.readerKind = readerKind
        self.isDirect = isDirect
        self.speeds = speeds
        self.bytesPerSecondSustained = bytesPerSecondSustained
        self.isPaced = isPaced
        self.memoryBytes = memoryBytes
    }

    /// The most that was measured.
    package var bytesPerSecondMax: Double {
        if isPaced { return bytesPerSecondSustained }
        return speeds.reduce(bytesPerSecondSustained) { max($0, $1.bytesPerSecond) }
    }

    /// Bytes that take as long to read as a read of its own costs, when many small ones are under
    /// way: time = cost + bytes / bandwidth, the cost from the smallest reads measured, the
    /// bandwidth from the fastest. A drive held to a rate counts bytes alone.
    package var gapBytes: Int {
        let small = speeds.filter { $0.pattern != .forward }
        guard !isPaced, let least = small.map(\.readBytes).min() else { return 0 }
        let rate = small.filter { $0.readBytes == least }.map(\.bytesPerSecond).max() ?? 0
        guard rate > 0 else { return 0 }
        let bytes = Double(least) * max(0, bytesPerSecondMax / rate - 1)
        return Int(min(bytes, Double(Self.gapBytesLimit)))
    }

    /// Of the sizes and depths that keep the drive busy while the thread that issues reads
    /// computes, and that are nearly as fast as any such, at scattered places and across files
    /// alike: the one with the fewest bytes in flight, so that what is wanted first comes first.
    package var choice: DriveChoice {
        let kinds = slowestPerKind
        let wanted = Int((kinds.map(\.bytesPerSecond).max() ?? 0) * Self.slackSeconds)
        func slack(_ speed: DriveSpeed) -> Int { (speed.depth - 1) * speed.readBytes }
        let most = kinds.map(slack).max() ?? 0
        let lasting = kinds.filter { slack($0) >= min(wanted, most) }
        let preferred = lasting.filter { Self.readBytesPreferred.contains($0.readBytes) }
        let usable =
            Self.fastest(preferred) >= Self.sharePreferred * Self.fastest(lasting)
            ? preferred : lasting
        let good = usable.filter { $0.bytesPerSecond >= Self.shareWanted * Self.fastest(usable) }
        let best = good.min {
            // The same bytes in fewer reads cost less.
            ($0.depth * $0.readBytes, $0.depth) < ($1.depth * $1.readBytes, $1.depth)
        }
        guard let best else { preconditionFailure("the fastest is good") }
        return DriveChoice(readBytes: best.readBytes, depth: best.depth)
    }

    private static func fastest(_ speeds: [DriveSpeed]) -> Double {
        speeds.map(\.bytesPerSecond).max() ?? 0
    }

    /// For each size and depth the slower of scattered reads and reads across files: what streaming
    /// may meet. Forward reads, and small ones, only where nothing else was measured.
    private var slowestPerKind: [DriveSpeed] {
        var slowest: [DriveChoice: DriveSpeed] = [:]
        let large = speeds.filter { $0.readBytes >= DriveProbe.readSizes[0] }
        let usable = large.isEmpty ? speeds : large
        let wanted = usable.filter { $0.pattern != .forward }
        for speed in wanted.isEmpty ? usable : wanted {
            let kind = DriveChoice(readBytes: speed.readBytes, depth: speed.depth)
            if let other = slowest[kind], other.bytesPerSecond <= speed.bytesPerSecond { continue }
            slowest[kind] = speed
        }
        return Array(slowest.values)
    }
}

extension DriveChoice: Hashable {}
