// Spans of sequences on flash: a file of this process's own, without a name, of places of one size.
// A place holds the eight pages of one layer of 512 tokens. It is written once, when the span
// leaves memory, and read as often as the sequence looks back. Pages go between the pool and the
// drive without another copy.
//
// Lives on the thread that computes.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

/// Where spans that leave memory go, and how much.
package struct ColdFileOptions: Sendable {
    /// Its name until it is open: nobody else can open it then, and it is gone with the process.
    package var path: String
    /// The file is never longer.
    package var bytesMax: UInt64
    /// Whether what comes back is compared with its checksum each time, not the first time alone.
    package var checksEveryRead: Bool
    /// How the drive is read and written.
    package var flash: FlashOptions

    package init(path: String, bytesMax: UInt64, checksEveryRead: Bool, flash: FlashOptions) {
        self.path = path
        self.bytesMax = bytesMax
        self.checksEveryRead = checksEveryRead
        self.flash = flash
    }
}

/// A place of the file.
struct ColdPlace: Hashable, Sendable {
    let rawValue: Int
}

/// The file, and who has which place.
final class ColdFile {
    let options: ColdFileOptions
    let reader: FlashReader
    private let arena: MemoryArena
    private let file: FileIndex
    private var pageBytes = 0
    private var free: [ColdPlace] = []
    /// What requests that belong together are told by.
    private var ticketCount: UInt64 = 0
    /// Places that there were: the file is so long.
    private var placeCount = 0
    /// Of each place's pages; nil for those that are not looked at any more.
    private var checksums: [[UInt32?]] = []

    private static let spanPages = KVLayout.spanPages
    /// What the drive is tried with before anything is written to it.
    private static let headBytes = 1 << 16

    /// Makes the file.
    ///
    /// - Parameter arena: holds the pages.
    /// - Throws: `SystemError` when it cannot be made there.
    init(_ options: ColdFileOptions, arena: MemoryArena) throws(SystemError) {
        self.options = options
        self.arena = arena
        // What a killed process left in the moment before its file lost its name.
        if FileSystem.exists(options.path) { try FileSystem.remove(options.path) }
        let file = try FileDescriptor(path: options.path, mode: .createNew, permissions: 0o600)
        defer { try? FileSystem.remove(options.path) }
        let head = [UInt8](repeating: 0, count: Self.headBytes)
        try file.write(unsafe head.span.bytes, at: 0)
        try file.synchronize()
        var flash = options.flash
        flash.tuner = nil
        reader = try FlashFile.reader(path: options.path, arena: arena, options: flash)
        self.file = try FlashFile.register(path: options.path, with: reader, options: flash)
    }

    /// Makes places for pages of another size. Those that a drive once did not answer for are
    /// there again.
    ///
    /// - Precondition: nobody has one, and nothing is read or written.
    func cut(pageBytes: Int) {
        precondition(requestsInFlight == 0, "places are in use")
        precondition(pageBytes % MemoryArena.pageBytes == 0, "pages are whole blocks")
        self.pageBytes = pageBytes
        free = []
        placeCount = 0
        checksums = []
    }

    /// Writes a span, and waits for it.
    ///
    /// - Parameter pages: where they are in the arena, in order.
    /// - Throws: `ReadFailure` when the drive does not take it, or when it is as full as may be.
    func write(_ pages: [Int]) throws(ReadFailure) -> ColdPlace {
        precondition(pages.count == Self.spanPages, "spans are written whole")
        let (place, ticket) = (try take(), newTicket())
        for (index, page) in pages.enumerated() {
            try reader.submit(
                FlashRequest(
                    ticket, .write, file: file, fileOffset: offset(of: place, page: index),
                    byteCount: pageBytes, arenaOffset: page),
                isLast: index == pages.count - 1)
        }
        // A place that a drive does not answer for is not given to others.
        let failure = try finish(ticket, count: pages.count)
        if let failure {
            release(place)
            throw failure
        }
        let arena = arena
        checksums[place.rawValue] = pages.map {
            Checksum.of(arena.bytes(at: $0, byteCount: pageBytes))
        }
        return place
    }

    /// Waits for that many requests.
    ///
    /// - Returns: why one of them failed.
    private func finish(
        _ ticket: FlashTicket, count: Int
    ) throws(ReadFailure) -> ReadFailure? {
        var (failure, left) = (nil as ReadFailure?, count)
        while left > 0 {
            let completion = try wait()
            guard completion.request.ticket == ticket else { continue }
            failure = failure ?? completion.failure
            left -= 1
        }
        return failure
    }

    func newTicket() -> FlashTicket {
        ticketCount += 1
        return FlashTicket(rawValue: ticketCount)
    }

    /// Requests whose end was not told of.
    var requestsInFlight: Int { reader.requestsInFlight }

    /// Begins to read a span to `target` in the arena; ``wait()`` says when it is there.
    func startReading(
        _ place: ColdPlace, to target: Int, ticket: FlashTicket
    ) throws(ReadFailure) {
        try reader.submit(
            FlashRequest(
                ticket, file: file, fileOffset: offset(of: place, page: 0),
                byteCount: Self.spanPages * pageBytes, arenaOffset: target))
    }

    /// Begins to read one page to `target`.
    func startReading(
        _ page: ColdPage, to target: Int, ticket: FlashTicket
    ) throws(ReadFailure) {
        try reader.submit(
            FlashRequest(
                ticket, file: file, fileOffset: offset(of: page.place, page: page.index),
                byteCount: pageBytes, arenaOffset: target))
    }

    /// The next request that ended.
    func wait() throws(ReadFailure) -> FlashCompletion {
        guard let completion = try reader.next(waiting: true) else {
            preconditionFailure("nothing is being read")
        }
        return completion
    }

    /// Whether what came back of a place is what was written there.
    func check(_ place: ColdPlace, at target: Int) throws(ReadFailure) {
        for index in 0..<Self.spanPages {
            try check(ColdPage(place: place, index: index), at: target + index * pageBytes)
        }
    }

    /// The same for one page of it.
    func check(_ page: ColdPage, at target: Int) throws(ReadFailure) {
        guard let expected = checksums[page.place.rawValue][page.index] else { return }
        let arena = arena
        let found = Checksum.of(arena.bytes(at: target, byteCount: pageBytes))
        guard found == expected else {
            throw ReadFailure(
                file: options.path, fileOffset: offset(of: page.place, page: page.index),
                cause: .checksum(expected: expected, found: found))
        }
        if !options.checksEveryRead { checksums[page.place.rawValue][page.index] = nil }
    }

    func release(_ place: ColdPlace) { free.append(place) }

    private func take() throws(ReadFailure) -> ColdPlace {
        if let place = free.popLast() { return place }
        let place = ColdPlace(rawValue: placeCount)
        let end = offset(of: place, page: Self.spanPages)
        guard end <= options.bytesMax else {
            throw ReadFailure(
                file: options.path, fileOffset: offset(of: place, page: 0),
                cause: .full(byteCount: Self.spanPages * pageBytes))
        }
        placeCount += 1
        checksums.append(Array(repeating: nil, count: Self.spanPages))
        return place
    }

    private func offset(of place: ColdPlace, page: Int) -> UInt64 {
        UInt64(Self.headBytes) + UInt64(place.rawValue * Self.spanPages + page) * UInt64(pageBytes)
    }
}
