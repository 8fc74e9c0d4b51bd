// How fast this machine reads memory: the limit that decoding with everything resident runs into.

internal import CLinux

/// Measures memory bandwidth.
package enum MemoryBandwidth {
    /// Much larger than caches: of 64 MiB a cache of 32 MiB was seen to serve a third.
    private static let probeBytesMax = 512 << 20
    private static let pieceBytes = 1 << 20

    /// Half of what this process may still take, so that a measurement never hits a limit.
    private static var probeBytes: Int {
        let left = MemoryLimits.smallestBytes() - ProcessMemory.current().residentBytes
        let half = min(left, MemoryLimits.availableBytes()) / 2
        return max(4, min(half, probeBytesMax) / pieceBytes) * pieceBytes
    }

    /// Bytes per second that all members of `team` together read from memory: the best of a few
    /// passes over a buffer larger than the caches.
    ///
    /// - Throws: `SystemError` when the buffer cannot be mapped.
    package static func bytesPerSecond(team: ComputeTeam) throws(SystemError) -> Double {
        let probeBytes = probeBytes
        let arena = try MemoryArena(byteCount: probeBytes)
        let region = unsafe arena.allocate(byteCount: probeBytes)
        unsafe region.initializeMemory(as: UInt8.self, repeating: 1)
        var best = 0.0
        for _ in 0..<5 {
            let seconds = secondsToRead(arena, byteCount: probeBytes, team: team)
            best = max(best, Double(probeBytes) / seconds)
        }
        return best
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
