// The reads of one model's weights: the reader and the memory that it fills. Whoever submits a read
// hears of its end through the sink, by what it was for.

internal import FlashStorage
internal import LinuxSystem

/// Told of reads that ended.
protocol ReadSink: AnyObject {
    /// A read ended. Nothing was compared with a checksum yet.
    func completed(_ purpose: ReadPurpose, _ request: FlashRequest, failure: ReadFailure?)

    /// Nothing is under way any more, and nobody waits for what was.
    func abandoned()
}

/// Reads under way, and the memory for weights.
final class WeightReads {
    let arena: MemoryArena
    let reader: FlashReader
    var verifier: ExtentVerifier
    /// Bytes between bundles that are read rather than split a read.
    let gapBytesMax: Int
    /// Whether a wait, or a submission, was given up while reads were under way: they must end
    /// before the next pass.
    private(set) var isUnsettled = false
    weak var sink: (any ReadSink)?

    init(
        arena: MemoryArena, reader: FlashReader, verifier: ExtentVerifier, gapBytesMax: Int
    ) {
        self.arena = arena
        self.reader = reader
        self.verifier = verifier
        self.gapBytesMax = gapBytesMax
    }

    /// Whether any read was not taken in yet.
    var areUnderWay: Bool { reader.requestsInFlight > 0 }

    /// Starts a read.
    ///
    /// - Throws: `ReadFailure` when the kernel takes none.
    func submit(
        _ purpose: ReadPurpose, fileOffset: UInt64, byteCount: Int, arenaOffset: Int,
        pieceBytesMax: Int = .max, isLast: Bool = true
    ) throws(ReadFailure) {
        do throws(ReadFailure) {
            try reader.submit(
                FlashRequest(
                    purpose.ticket, fileOffset: fileOffset, byteCount: byteCount,
                    arenaOffset: arenaOffset, pieceBytesMax: pieceBytesMax),
                isLast: isLast)
        } catch {
            isUnsettled = true
            throw error
        }
    }

    /// Takes completions off the reader: all that are there, or at least one when `waiting`.
    ///
    /// - Throws: `ReadFailure` when the drive does not answer, or the wait is cancelled.
    func collect(waiting: Bool) throws(ReadFailure) {
        var mustWait = waiting
        while let completion = try next(waiting: mustWait) {
            mustWait = false
            let request = completion.request
            sink?.completed(ReadPurpose(request.ticket), request, failure: completion.failure)
        }
    }

    private func next(waiting: Bool) throws(ReadFailure) -> FlashCompletion? {
        do throws(ReadFailure) {
            return try reader.next(waiting: waiting)
        } catch {
            isUnsettled = true
            throw error
        }
    }

    /// Takes in what is under way while `isLoading`, however it ends, so that it cannot fail what
    /// is asked for next. What does not come is left for ``drain()``.
    func settle(while isLoading: () -> Bool) {
        while !isUnsettled, areUnderWay, isLoading(), (try? collect(waiting: true)) != nil {}
    }

    /// Takes in everything that is under way, for nobody.
    func drain() throws(ReadFailure) {
        while areUnderWay { try collect(waiting: true) }
        sink?.abandoned()
        isUnsettled = false
    }
}
