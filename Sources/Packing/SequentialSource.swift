// A stream as the bytes that a GGUF file is parsed from. Keeps the header while it is parsed, then
// as much of what went by as tasks look back; everything else passes into the reader's memory.

package import ModelFormat
internal import Synchronization

/// One part of a model that arrives front to back. Reads may go back in the header, and after
/// ``beginData(at:lookBehind:)`` as far as was said there.
package final class SequentialSource: ByteSource {
    package let name: String
    private let stream: any ByteStream
    private let state = Mutex(State())

    /// The length of a stream that has not said it.
    static let unknownByteCount: UInt64 = 1 << 62
    /// A vocabulary of a million long tokens takes less.
    static let headerBytesMax = 64 << 20
    private static let skippedBytesMax = 64 << 10

    private struct State {
        /// What has come while the header was parsed; later its end, and where that begins.
        var header: [UInt8] = []
        var headerStart: UInt64 = 0
        var isInData = false
        /// The last bytes that have come since, each at its offset modulo the count.
        var ring: [UInt8] = []
        var received: UInt64 = 0
        var hasEnded = false
        var failure: PackingError?

        var headerEnd: UInt64 { headerStart + UInt64(header.count) }
    }

    package init(_ stream: any ByteStream) {
        self.stream = stream
        name = stream.name
    }

    /// What is known of it: more than there can be until the stream has said it or ended.
    package var byteCount: UInt64 {
        if let count = stream.byteCount { return count }
        return state.withLock { $0.hasEnded ? $0.received : Self.unknownByteCount }
    }

    /// Why the stream could not be read, which ``read(at:into:)`` can only say in words.
    var failure: PackingError? { state.withLock { $0.failure } }

    /// Whether the stream ended, though nobody had asked for its last byte.
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// The header is parsed: from now on the reads ascend, but for `lookBehind` bytes.
    ///
    /// - Parameter offset: of the first byte that is still wanted.
    func beginData(at offset: UInt64, lookBehind: Int) {
        state.withLock { state in
            let dropped = min(offset, UInt64(state.header.count))
            state.header.removeFirst(Int(dropped))
            // A copy as long as it is: the parsed bytes' memory is given back.
            state.header = [UInt8](state.header[...])
            state.headerStart = dropped
            state.isInData = true
            state.ring = [UInt8](repeating: 0, count: lookBehind)
        }
    }

    /// How far the stream is; nil where no other process can go on from there.
    var mark: StreamMark? { stream.mark }

    /// Goes on where an earlier stream was, after ``beginData(at:lookBehind:)``: nothing before
    /// `place` is wanted any more.
    ///
    /// - Returns: false where that cannot be.
    func goOn(from mark: [UInt8], at place: UInt64) -> Bool {
        state.withLock { state in
            precondition(state.isInData, "the header is needed anyway")
            // What came with the header goes on by itself.
            guard place > state.received else { return true }
            guard stream.goOn(from: mark, at: place) else { return false }
            state.received = place
            return true
        }
    }

    /// Others come first.
    func pause() { stream.pause() }

    /// Reads to the end.
    ///
    /// - Returns: all bytes that have come.
    func finish() throws(FormatError) -> UInt64 {
        try state.withLock { state throws(FormatError) in
            while !state.hasEnded { try skip(Self.skippedBytesMax, &state) }
            return state.received
        }
    }

    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let count = buffer.byteCount
        let all = byteCount
        guard offset <= all, UInt64(count) <= all - offset else {
            throw ended(count, at: offset, all)
        }
        try state.withLock { state throws(FormatError) in
            var done = copyKept(at: offset, into: &buffer, state)
            if done == count { return }
            while state.received < offset, !state.hasEnded {
                try skip(Int(min(offset - state.received, UInt64(Self.skippedBytesMax))), &state)
            }
            while done < count, !state.hasEnded {
                var rest = buffer._mutatingExtracting(done..<count)
                let arrived = try receive(into: &rest, &state)
                try keep(rest.bytes.extracting(0..<arrived), &state)
                done += arrived
            }
            guard done < count else { return }
            // Parsers read ahead: what they use beyond the end shows in what they make of it.
            guard !state.isInData else { throw ended(count, at: offset, state.received) }
            for index in done..<count {
                buffer.storeBytes(of: 0, toByteOffset: index, as: UInt8.self)
            }
        }
    }

    private func ended(_ count: Int, at offset: UInt64, _ end: UInt64) -> FormatError {
        FormatError(
            file: name, offset: offset, expected: "\(count) bytes", found: "end of file at \(end)")
    }

    // MARK: What has come

    /// Copies what is kept of a range's beginning, and returns how much that is.
    private func copyKept(
        at offset: UInt64, into buffer: inout MutableRawSpan, _ state: State
    ) -> Int {
        let count = buffer.byteCount
        var done = 0
        if offset < state.headerEnd {
            precondition(offset >= state.headerStart, "reads do not go back before the data")
            let start = Int(offset - state.headerStart)
            done = min(count, state.header.count - start)
            Self.copy(state.header, start..<start + done, into: &buffer, at: 0)
        }
        while done < count, offset + UInt64(done) < state.received {
            let place = offset + UInt64(done)
            precondition(
                state.received - place <= UInt64(state.ring.count), "reads look back too far")
            let start = Int(place % UInt64(state.ring.count))
            let length = min(
                count - done, state.ring.count - start, Int(state.received - place))
            Self.copy(state.ring, start..<start + length, into: &buffer, at: done)
            done += length
        }
        return done
    }

    private static func copy(
        _ bytes: [UInt8], _ range: Range<Int>, into buffer: inout MutableRawSpan, at place: Int
    ) {
        unsafe bytes.withUnsafeBytes { source in
            unsafe buffer.withUnsafeMutableBytes { target in
                unsafe UnsafeMutableRawBufferPointer(
                    rebasing: target[place..<place + range.count]
                ).copyMemory(from: UnsafeRawBufferPointer(rebasing: source[range]))
            }
        }
    }

    /// Keeps what has come, which ``State/received`` counts already.
    private func keep(_ bytes: RawSpan, _ state: inout State) throws(FormatError) {
        guard state.isInData else {
            guard state.header.count + bytes.byteCount <= Self.headerBytesMax else {
                throw FormatError(
                    file: name, expected: "a header of at most \(Self.headerBytesMax) bytes",
                    found: "more")
            }
            unsafe bytes.withUnsafeBytes { unsafe state.header.append(contentsOf: $0) }
            return
        }
        let size = state.ring.count
        guard size > 0 else { return }
        let kept = bytes.extracting(max(0, bytes.byteCount - size)..<bytes.byteCount)
        let start = Int((state.received - UInt64(kept.byteCount)) % UInt64(size))
        let first = min(kept.byteCount, size - start)
        unsafe kept.withUnsafeBytes { source in
            unsafe state.ring.withUnsafeMutableBytes { target in
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + first])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<first]))
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<(source.count - first)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[first...]))
            }
        }
    }

    // MARK: The stream

    private func skip(_ count: Int, _ state: inout State) throws(FormatError) {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let arrived = try receive(into: &raw, &state)
        try keep(raw.bytes.extracting(0..<arrived), &state)
    }

    private func receive(
        into buffer: inout MutableRawSpan, _ state: inout State
    ) throws(FormatError) -> Int {
        do {
            let count = try stream.read(into: &buffer)
            state.received += UInt64(count)
            if count == 0 { state.hasEnded = true }
            return count
        } catch {
            state.failure = error
            throw FormatError(
                file: name, offset: state.received, expected: "more bytes", found: "\(error)")
        }
    }
}
