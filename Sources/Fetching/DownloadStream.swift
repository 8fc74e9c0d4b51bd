// One file of the network as a stream. Owns what a broken connection means: the same bytes are
// asked for again from where it broke, as long as some come now and then.

internal import LinuxSystem
internal import ModelFormat
package import Packing
internal import Synchronization

/// How patient a download is.
package struct DownloadPatience: Sendable {
    /// A connection without a byte for so long is given up.
    package let stallSeconds: Int
    /// Attempts without a new byte before the download is given up.
    package let attemptsMax: Int
    /// The longest wait that a server may ask for.
    package let retryAfterSecondsMax: Int

    package init(stallSeconds: Int = 60, attemptsMax: Int = 8, retryAfterSecondsMax: Int = 600) {
        self.stallSeconds = stallSeconds
        self.attemptsMax = attemptsMax
        self.retryAfterSecondsMax = retryAfterSecondsMax
    }

    /// What is waited after the attempts so far: a second, two, four, and at most half a stall.
    func pauseMilliseconds(attempts: Int) -> Int {
        min(1000 << min(attempts - 1, 6), stallSeconds * 500)
    }
}

/// A file that curl(1) fetches.
package final class DownloadStream: ByteStream {
    package let name: String
    package let address: ModelAddress
    private let patience: DownloadPatience
    /// What somebody knows that it is.
    private let expectedDigest: String?
    private let isCancelled: @Sendable () -> Bool
    private let onNotice: @Sendable (String) -> Void
    private let state = Mutex(State())
    private static let waitMilliseconds: Int32 = 100
    private static let discardedBytesMax = 64 << 10

    private struct State {
        var connection: Connection?
        /// Bytes that the reader has.
        var received: UInt64 = 0
        var byteCount: UInt64?
        var entityTag: String?
        var digest: String?
        var sum = SHA256()
        /// Bytes of the file that are in the sum.
        var summed: UInt64 = 0
        /// Connections since the last new byte.
        var attempts = 0
        var hasEnded = false
    }

    /// One answer under way.
    private struct Connection {
        let curl: ChildProcess
        /// Bytes of the body that came with its head.
        var waiting: ArraySlice<UInt8>
        /// Of the file, what comes next.
        var place: UInt64
    }

    /// Why a connection ended before the file.
    private enum Ending: Error {
        /// Another attempt may go better.
        ///
        /// - Parameter waitSeconds: what the server asks to wait for.
        case broken(String, waitSeconds: Int = 0)
        case final(PackingError)
    }

    /// - Parameters:
    ///   - expectedDigest: the file's SHA-256, whatever the hub says; nil where nobody knows it.
    ///   - isCancelled: asked while nothing arrives; true ends the reading.
    ///   - onNotice: told what takes long, and why.
    package init(
        _ address: ModelAddress, patience: DownloadPatience = DownloadPatience(),
        expectedDigest: String? = nil, isCancelled: @escaping @Sendable () -> Bool,
        onNotice: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.address = address
        self.patience = patience
        self.expectedDigest = expectedDigest
        self.isCancelled = isCancelled
        self.onNotice = onNotice
        name = address.fileName
    }

    package var byteCount: UInt64? { state.withLock { $0.byteCount } }

    package func open() throws(PackingError) {
        try state.withLock { state throws(PackingError) in try connect(&state) }
    }

    package func pause() {
        state.withLock { $0.connection = nil }
    }

    package func read(into buffer: inout MutableRawSpan) throws(PackingError) -> Int {
        try state.withLock { state throws(PackingError) in
            while !state.hasEnded, state.received != state.byteCount {
                try connect(&state)
                do throws(Ending) {
                    if let count = try receive(into: &buffer, &state) { return count }
                } catch {
                    try wait(&state, after: error)
                }
                if isCancelled() { throw .cancelled }
            }
            state.connection = nil
            return 0
        }
    }

    /// Compares all that came with what is known of the file, or with what the hub says of it.
    ///
    /// - Returns: whether there is anything to compare with.
    /// - Throws: `PackingError.transfer` where they differ.
    package func verify() throws(PackingError) -> Bool {
        try state.withLock { state throws(PackingError) in
            guard let digest = expectedDigest ?? state.digest else { return false }
            let found = state.sum.hexadecimal
            guard digest == found else {
                throw failure("expected the SHA-256 \(digest), found \(found)", .badData)
            }
            return true
        }
    }

    private func failure(_ reason: String, _ status: ExitStatus) -> PackingError {
        .transfer(address: address.shown, reason: reason, status)
    }

    // MARK: Going on

    /// Where the server says which file it is: its size, and a tag that means all of its bytes.
    package var mark: StreamMark? {
        state.withLock { state in
            guard let byteCount = state.byteCount, let tag = state.entityTag, !tag.hasPrefix("W/")
            else { return nil }
            var place = SHA256()
            place.add(unsafe Array(address.url.utf8).span.bytes)
            let identity = "\(place.hexadecimal) \(byteCount) \(tag) \(state.digest ?? "")"
            var bytes: [UInt8] = []
            for shift in stride(from: 0, to: UInt64.bitWidth, by: UInt8.bitWidth) {
                bytes.append(UInt8(truncatingIfNeeded: state.summed >> UInt64(shift)))
            }
            return StreamMark(identity: Array(identity.utf8), state: bytes + state.sum.saved)
        }
    }

    package func goOn(from bytes: [UInt8], at place: UInt64) -> Bool {
        let length = UInt64.bitWidth / UInt8.bitWidth
        guard bytes.count > length, let sum = SHA256(saved: Array(bytes[length...])) else {
            return false
        }
        let summed = bytes[..<length].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return state.withLock { state in
            guard let byteCount = state.byteCount, place <= summed, summed <= byteCount else {
                return false
            }
            state.connection = nil
            (state.sum, state.summed, state.received) = (sum, summed, place)
            (state.attempts, state.hasEnded) = (0, false)
            return true
        }
    }

    // MARK: Bytes

    /// What arrives next, or nil where the file has ended or nothing came for a while.
    private func receive(
        into buffer: inout MutableRawSpan, _ state: inout State
    ) throws(Ending) -> Int? {
        guard var connection = state.connection else { return nil }
        defer { if state.connection != nil { state.connection = connection } }
        // Whoever ignores ranges sends what is here already once more.
        while connection.place < state.received {
            let count = min(state.received - connection.place, UInt64(Self.discardedBytesMax))
            var bytes = [UInt8](repeating: 0, count: Int(count))
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            guard try take(into: &raw, &connection, state) != nil else { return nil }
        }
        let left = state.byteCount.map { Int(clamping: $0 - state.received) } ?? Int.max
        var part = buffer._mutatingExtracting(first: min(left, buffer.byteCount))
        guard let count = try take(into: &part, &connection, state) else { return nil }
        if count == 0 {
            state.hasEnded = true
            state.connection = nil
            return nil
        }
        state.received += UInt64(count)
        let fresh = Int(min(UInt64(count), state.received - min(state.received, state.summed)))
        state.sum.add(part.bytes.extracting(first: count).extracting(last: fresh))
        state.summed = max(state.summed, state.received)
        state.attempts = 0
        return count
    }

    /// Bytes of the connection; 0 at the end of a file that did not say how long it is.
    ///
    /// - Throws: ``Ending/broken(_:waitSeconds:)`` where it ended early or stands still.
    private func take(
        into buffer: inout MutableRawSpan, _ connection: inout Connection, _ state: State
    ) throws(Ending) -> Int? {
        var count = 0
        if connection.waiting.isEmpty {
            guard let arrived = try arrival(into: &buffer, connection.curl) else { return nil }
            count = arrived
            if count == 0 {
                let status = connection.curl.exitStatus()
                if status == 0, state.byteCount == nil { return 0 }
                throw .broken(reason(connection.curl, state))
            }
        } else {
            count = min(buffer.byteCount, connection.waiting.count)
            for (index, byte) in connection.waiting.prefix(count).enumerated() {
                buffer.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            }
            connection.waiting = connection.waiting.dropFirst(count)
        }
        connection.place += UInt64(count)
        return count
    }

    private func reason(_ curl: ChildProcess, _ state: State) -> String {
        let said = curl.exitStatus() == 0 ? "" : curl.lastError()
        let all = state.byteCount.map { " of \($0)" } ?? ""
        let place = "the connection ended at byte \(state.received)\(all)"
        return said.isEmpty ? place : "\(place) (\(said))"
    }

    /// What curl writes next, 0 at its end; nil when asked to stop.
    private func arrival(
        into buffer: inout MutableRawSpan, _ curl: ChildProcess
    ) throws(Ending) -> Int? {
        let start = MonotonicClock.nanoseconds
        while !isCancelled() {
            do throws(SystemError) {
                let count = try curl.output.readArriving(
                    into: &buffer, within: Self.waitMilliseconds)
                if let count { return count }
            } catch {
                throw .broken("\(error)")
            }
            let waited = (MonotonicClock.nanoseconds - start) / 1_000_000_000
            if waited >= UInt64(patience.stallSeconds) {
                curl.stop()
                throw .broken("nothing came for \(patience.stallSeconds) s")
            }
        }
        return nil
    }

    // MARK: Connections

    /// Connects unless that is so: from the first byte that is missing.
    private func connect(_ state: inout State) throws(PackingError) {
        while state.connection == nil {
            if isCancelled() { throw .cancelled }
            let curl = try start(from: state.received)
            do throws(Ending) {
                guard let (head, rest) = try head(curl, state) else { continue }
                state.connection = try begin(curl, head, rest, &state)
            } catch {
                try wait(&state, after: error)
            }
        }
    }

    /// Waits before the next attempt, unless there is to be none.
    private func wait(_ state: inout State, after ending: Ending) throws(PackingError) {
        state.connection = nil
        let reason: String
        let asked: Int
        switch ending {
        case .final(let error): throw error
        case .broken(let text, let waitSeconds): (reason, asked) = (text, waitSeconds)
        }
        guard asked <= patience.retryAfterSecondsMax else {
            throw failure("\(reason) and asks to wait for \(asked) s", .unavailable)
        }
        state.attempts += 1
        guard state.attempts < patience.attemptsMax else {
            throw failure("\(reason), \(state.attempts) times in a row", .unavailable)
        }
        var left = max(patience.pauseMilliseconds(attempts: state.attempts), asked * 1000)
        if asked > 0 { onNotice("\(reason) and asks to wait for \(asked) s") }
        while left > 0 {
            if isCancelled() { throw .cancelled }
            Thread.sleep(microseconds: UInt32(min(left, 100)) * 1000)
            left -= 100
        }
    }

    private func start(from place: UInt64) throws(PackingError) -> ChildProcess {
        do throws(SystemError) {
            return try ChildProcess(
                "curl", arguments: ["-q", "--config", "-"],
                input: Array(CurlOptions.text(address, from: place, patience).utf8))
        } catch {
            guard !error.isMissing else {
                throw failure("curl(1) fetches models, and it is not installed", .unavailable)
            }
            throw .source(error)
        }
    }

    /// The answer's head and the first bytes of its body; nil when asked to stop.
    private func head(
        _ curl: ChildProcess, _ state: State
    ) throws(Ending) -> (ResponseHead, ArraySlice<UInt8>)? {
        var bytes: [UInt8] = []
        while true {
            do throws(ResponseHead.Malformed) {
                if let (head, start) = try ResponseHead.parse(bytes) {
                    return (head, bytes[start...])
                }
            } catch {
                throw .broken("the answer is no HTTP")
            }
            var piece = [UInt8](repeating: 0, count: 16 << 10)
            var span = piece.mutableSpan
            var raw = unsafe span.mutableBytes
            guard let count = try arrival(into: &raw, curl) else { return nil }
            guard count > 0 else { throw noAnswer(curl, state) }
            bytes += piece[..<count]
        }
    }

    private func noAnswer(_ curl: ChildProcess, _ state: State) -> Ending {
        let status = curl.exitStatus()
        let said = status == 0 ? "no answer" : curl.lastError()
        let reason = said.isEmpty ? "curl ended with \(status)" : said
        // Whoever has just asked for it is there to mend it.
        let isFirst = state.received == 0 && state.byteCount == nil
        return isFirst && CurlOptions.cannotMend.contains(status)
            ? .final(failure(reason, .unavailable)) : .broken(reason)
    }

    /// Notes what the first answer says of the file, and that later ones say the same.
    private func begin(
        _ curl: ChildProcess, _ head: ResponseHead, _ body: ArraySlice<UInt8>,
        _ state: inout State
    ) throws(Ending) -> Connection {
        var place: UInt64 = 0
        var byteCount = head.contentLength
        switch head.status {
        case 200: break
        case 206:
            place = head.rangeStart ?? 0
            byteCount = head.rangeTotal
        case 408, 425, 429, 500...599:
            let waitSeconds = head.retryAfter.flatMap {
                RetryTime.seconds($0, now: WallClock.secondsSince1970)
            }
            throw .broken("the server answers \(head.status)", waitSeconds: waitSeconds ?? 0)
        default:
            let (words, status) = CurlOptions.refusal(head.status, hasToken: address.token != nil)
            throw .final(failure(words, status))
        }
        func refuse(_ reason: String) -> Ending { .final(failure(reason, .badData)) }
        guard place <= state.received else {
            throw refuse("asked for byte \(state.received), the server sends from \(place) on")
        }
        if let known = state.byteCount, let byteCount, known != byteCount {
            throw refuse("its size changed from \(known) to \(byteCount) while it was fetched")
        }
        let tag = head.linkedTag ?? head.entityTag
        if let known = state.entityTag, let tag, known != tag {
            throw refuse("it changed while it was fetched")
        }
        state.byteCount = state.byteCount ?? byteCount
        state.entityTag = state.entityTag ?? tag
        state.digest = state.digest ?? head.digest(trustsTag: address.isOnHub)
        return Connection(curl: curl, waiting: body, place: place)
    }
}
