// How fast this machine reads memory: the limit that decoding with everything resident runs into.

internal import CLinux
package import Memory

/// What a measurement of memory found.
package struct MemorySpeed: Sendable, Equatable {
    package let bytesPerSecond: Double
    /// Bytes that were read again and again.
    package let probeBytes: Int
    /// What the processor's last cache holds.
    package let cacheBytes: Int

    /// Of four times as much as it holds, a cache serves little: of 64 MiB, one of 32 MiB was seen
    /// to serve a third.
    package var isTrusted: Bool { probeBytes >= 4 * cacheBytes }
}

/// Measures memory bandwidth.
package enum MemoryBandwidth {
    private static let probeBytesMax = 512 << 20
    private static let pieceBytes = 1 << 20
    /// Where the kernel does not say.
    private static let cacheBytesUnknown = 32 << 20

    /// Bytes per second that all members of `team` together read from memory: the best of a few
    /// passes over a buffer much larger than the caches, or over what memory there is.
    ///
    /// - Parameter ledger: this process's, of whose limit what is left is used, and no more than
    ///   half of what the machine and the cgroups leave it.
    /// - Throws: `SystemError` when the buffer cannot be mapped.
    package static func measure(
        team: ComputeTeam, in ledger: MemoryLedger
    ) throws(SystemError) -> MemorySpeed {
        let left = min(
            MemoryLimits.leftBytes(of: ledger.limitBytes), ledger.leftBytes, probeBytesMax)
        let probeBytes = max(1, left / pieceBytes) * pieceBytes
        let arena = try MemoryArena(byteCount: probeBytes, for: .measuring, in: ledger)
        let region = unsafe arena.allocate(byteCount: probeBytes)
        unsafe region.initializeMemory(as: UInt8.self, repeating: 1)
        var best = 0.0
        for _ in 0..<5 {
            let seconds = secondsToRead(arena, byteCount: probeBytes, team: team)
            best = max(best, Double(probeBytes) / seconds)
        }
        return MemorySpeed(
            bytesPerSecond: best, probeBytes: probeBytes,
            cacheBytes: Processors.cacheBytes ?? cacheBytesUnknown)
    }

    /// Seconds that all members of `team` together take to read the first `byteCount` bytes of
    /// `arena`, in pieces as products read weights.
    package static func secondsToRead(
        _ arena: MemoryArena, byteCount: Int, team: ComputeTeam
    ) -> Double {
        let start = MonotonicClock.nanoseconds
        team.run(pieces: (byteCount + pieceBytes - 1) / pieceBytes) { piece in
            let first = piece * pieceBytes
            let count = min(pieceBytes, byteCount - first) / 64 * 64
            let bytes = arena.bytes(at: first, byteCount: count)
            unsafe bytes.withUnsafeBytes { buffer in
                _ = unsafe clinux_read_through(buffer.baseAddress, buffer.count)
            }
        }
        return Double(MonotonicClock.nanoseconds - start) / 1e9
    }
}
