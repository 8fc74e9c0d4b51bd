// Measures how fast a drive reads, over the size of reads, their number in flight and where they
// go: what streamed decoding runs into, and what reads are split by.

internal import LinuxSystem
package import Memory

/// Measures drives.
package enum DriveProbe {
    package static let readSizes = [64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20]
    package static let depths = [1, 2, 4, 8, 16, 32]
    /// What neurons are read in. Measured scattered alone, for what a read of its own costs.
    private static let smallSizes = [4 << 10, 16 << 10]
    private static let smallDepths = [8, 32, 128]
    /// Memory that reads land in, also those of the largest size and depth.
    package static let memoryBytes = 16 << 20
    /// Files that reads go across, at most.
    static let filesMax = 4

    /// How much time a measurement takes.
    package struct Effort: Sendable {
        let nanosecondsPerSpeed: UInt64
        /// Kinds of reading that this does not suffice for are left out.
        let nanosecondsMax: UInt64

        /// What a first start spends: under three seconds.
        package static let brief = Effort(
            nanosecondsPerSpeed: 20_000_000, nanosecondsMax: 2_500_000_000)
        /// What somebody who asked waits for: under fifteen seconds.
        package static let thorough = Effort(
            nanosecondsPerSpeed: 100_000_000, nanosecondsMax: 14_000_000_000)
    }

    /// More bytes in flight than come in this time are not tried.
    private static let inFlightSecondsMax = 0.25
    /// A paced drive shows its rate only over several of its bursts: fewer kinds, for longer.
    private static let pacedSizes = [256 << 10, 1 << 20]
    private static let pacedDepths = [2, 8]
    private static let pacedNanoseconds: UInt64 = 300_000_000

    /// Measures the drive that holds `paths` through the queue that streams weights. Some of what
    /// was read last of every kind is compared with what the page cache gives.
    ///
    /// - Parameters:
    ///   - paths: the file that matters, then others on its drive that reads may go across.
    ///   - memoryBytes: of `ledger`, memory that reads land in, at most; held while this runs.
    /// - Returns: nil for files (or memory) smaller than two of the smallest reads.
    /// - Throws: `FlashError` when a file cannot be opened or read, or when a direct read
    ///   returned other bytes than a buffered one.
    package static func measure(
        paths: [String], options: FlashOptions, in ledger: MemoryLedger,
        memoryBytes: Int = memoryBytes, effort: Effort = .brief
    ) throws(FlashError) -> DriveProfile? {
        let memoryBytes =
            min(memoryBytes, self.memoryBytes, ledger.leftBytes) / readSizes[0] * readSizes[0]
        guard memoryBytes >= 2 * readSizes[0] else { return nil }
        let memory: MemoryReservation
        // Somebody else may have been quicker.
        do { memory = try ledger.reserve(.measuring, memoryBytes) } catch { return nil }
        var options = options
        options.tuner = nil
        options.pieceBytesMax = memoryBytes
        options.queueDepth = max(depths.last ?? 1, smallDepths.last ?? 1)
        let start = MonotonicClock.nanoseconds
        guard let track = try DriveTrack(paths: paths, options: options, memory: memory)
        else { return nil }
        // At most 4 MiB in flight: a slow drive must bring them too before this is over.
        let size = readSizes.filter { $0 <= min(256 << 10, track.fileBytes / 2, memoryBytes / 2) }
        guard let size = size.last else { return nil }
        let rate = try track.sustained(
            readBytes: size, depth: min(16, memoryBytes / size),
            nanoseconds: 400_000_000...1_200_000_000)
        let speeds = try speeds(track, rate, effort, startNanoseconds: start)
        return DriveProfile(
            readerKind: track.readerKind, isDirect: track.isDirect, speeds: speeds,
            bytesPerSecondSustained: rate.bytesPerSecond, isPaced: rate.isPaced,
            memoryBytes: memoryBytes)
    }

    private static func speeds(
        _ track: DriveTrack, _ rate: DriveTrack.Rate, _ effort: Effort, startNanoseconds: UInt64
    ) throws(FlashError) -> [DriveSpeed] {
        let inFlightMax = max(
            readSizes[0],
            min(track.memoryBytes, Int(rate.bytesPerSecond * inFlightSecondsMax)))
        var kinds: [DriveChoice] = []
        for depth in rate.isPaced ? pacedDepths : depths {
            for readBytes in rate.isPaced ? pacedSizes : readSizes
            where readBytes * depth <= inFlightMax && 2 * readBytes <= track.fileBytes {
                kinds.append(DriveChoice(readBytes: readBytes, depth: depth))
            }
        }
        if kinds.isEmpty { kinds = [DriveChoice(readBytes: readSizes[0], depth: 1)] }
        kinds.sort { ($0.readBytes * $0.depth, $0.depth) < ($1.readBytes * $1.depth, $1.depth) }
        var speeds = rate.isPaced ? [] : try smallSpeeds(track, effort, inFlightMax: inFlightMax)
        for kind in kinds {
            for pattern in track.patterns where !(rate.isPaced && pattern == .forward) {
                let spent = MonotonicClock.nanoseconds - startNanoseconds
                let hasAny = speeds.contains { $0.readBytes >= readSizes[0] }
                if hasAny && spent >= effort.nanosecondsMax { return speeds }
                var speed: Double
                if rate.isPaced {
                    speed = min(
                        rate.bytesPerSecond,
                        try track.sustained(
                            pattern, readBytes: kind.readBytes, depth: kind.depth,
                            nanoseconds: pacedNanoseconds...pacedNanoseconds
                        ).bytesPerSecond)
                } else {
                    speed = try track.bytesPerSecond(
                        pattern, readBytes: kind.readBytes, depth: kind.depth,
                        nanoseconds: effort.nanosecondsPerSpeed)
                }
                speeds.append(
                    DriveSpeed(
                        pattern: pattern, readBytes: kind.readBytes, depth: kind.depth,
                        bytesPerSecond: speed))
            }
        }
        return speeds
    }

    private static func smallSpeeds(
        _ track: DriveTrack, _ effort: Effort, inFlightMax: Int
    ) throws(FlashError) -> [DriveSpeed] {
        var speeds: [DriveSpeed] = []
        for readBytes in smallSizes {
            for depth in smallDepths where readBytes * depth <= inFlightMax {
                speeds.append(
                    DriveSpeed(
                        pattern: .scattered, readBytes: readBytes, depth: depth,
                        bytesPerSecond: try track.bytesPerSecond(
                            .scattered, readBytes: readBytes, depth: depth,
                            nanoseconds: effort.nanosecondsPerSpeed)))
            }
        }
        return speeds
    }
}
