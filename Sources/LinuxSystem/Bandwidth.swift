// How fast this machine reads memory: the limit that decoding with everything resident runs into.

internal import CLinux

/// Measures memory bandwidth.
package enum MemoryBandwidth {
    /// Larger than caches, small enough for a small machine.
    private static let probeBytes = 64 << 20
    private static let pieceBytes = 1 << 20

    /// Bytes per second that all members of `team` together read from memory: the best of a few
    /// passes over a buffer larger than the caches.
    ///
    /// - Throws: `SystemError` when the buffer cannot be mapped.
    package static func bytesPerSecond(team: ComputeTeam) throws(SystemError) -> Double {
        let arena = try MemoryArena(byteCount: probeBytes)
        let region = unsafe arena.allocate(byteCount: probeBytes)
        unsafe region.initializeMemory(as: UInt8.self, repeating: 1)
        var best = 0.0
        for _ in 0..<5 {
            let start = MonotonicClock.nanoseconds
            team.run(pieces: probeBytes / pieceBytes) { piece in
                let bytes = arena.bytes(at: piece * pieceBytes, byteCount: pieceBytes)
                unsafe bytes.withUnsafeBytes { buffer in
                    _ = unsafe clinux_read_through(buffer.baseAddress, buffer.count)
                }
            }
            let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
            best = max(best, Double(probeBytes) / seconds)
        }
        return best
    }
}
