// How fast a file can be read: the limit that streamed decoding runs into.

internal import LinuxSystem

/// Measures flash bandwidth.
package enum FlashBandwidth {
    private static let pieceBytes = 1 << 20
    private static let bytesMax = 256 << 20

    /// Bytes per second at which `path` can be read in large pieces with the queue full, through
    /// the same queue that streams weights: one pass over at most its first 256 MiB.
    ///
    /// - Returns: nil for files of less than one piece.
    /// - Throws: `WeightError` when the file cannot be opened or read.
    package static func bytesPerSecond(
        path: String, options: FlashOptions
    ) throws(WeightError) -> Double? {
        var options = options
        options.pieceBytesMax = pieceBytes
        let reader: FlashReader
        let pieces: Int
        let slots = min(options.queueDepth, 16)
        do throws(SystemError) {
            let bytes = try FileDescriptor(path: path, mode: .read).byteCount()
            pieces = Int(min(bytes, UInt64(bytesMax))) / pieceBytes
            let arena = try MemoryArena(byteCount: slots * pieceBytes)
            reader = try FlashFile.reader(path: path, arena: arena, options: options)
        } catch {
            throw .system(error)
        }
        guard pieces > 0 else { return nil }
        let start = MonotonicClock.nanoseconds
        do throws(ReadFailure) {
            try readThrough(reader, pieces: pieces, slots: slots)
        } catch {
            throw .read(error)
        }
        let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
        return Double(pieces * pieceBytes) / seconds
    }

    private static func readThrough(
        _ reader: FlashReader, pieces: Int, slots: Int
    ) throws(ReadFailure) {
        var freeSlots = Array(0..<slots)
        var next = 0
        var done = 0
        while done < pieces {
            while next < pieces, let slot = freeSlots.popLast() {
                try reader.submit(
                    ReadRequest(
                        purpose: .dense(slot: slot), fileOffset: UInt64(next * pieceBytes),
                        byteCount: pieceBytes, arenaOffset: slot * pieceBytes))
                next += 1
            }
            guard let completion = try reader.next(waiting: true) else { continue }
            if let failure = completion.failure { throw failure }
            if case .dense(let slot) = completion.request.purpose { freeSlots.append(slot) }
            done += 1
        }
    }
}
