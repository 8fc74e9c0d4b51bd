// The way back of what is on flash: spans in groups, two groups of memory in turn. While one is
// computed with, the next one is read; after a layer's last, the next layer's first.

internal import FlashStorage
internal import LinuxSystem

/// Spans of one layer of a sequence that are in memory at once.
package struct ColdGroup: Hashable, Sendable {
    let sequence: SequenceID
    package let layer: Int
    package let spans: Range<Int>
}

/// What is read, and what was.
final class ColdReads {
    let file: ColdFile
    private let arena: MemoryArena
    /// Where both groups' memory begins.
    private var start = 0
    private var pageBytes = 0
    private(set) var spansPerGroup = 0
    /// The same memory in pages; whichever was used last has it.
    var pages = ColdPageCache(count: 0)
    private var readsPages = false
    private var halves = [Half(), Half()]
    /// The half that is filled next.
    private var turn = 0

    private struct Half {
        /// Nil where nobody wants it any more.
        var group: ColdGroup?
        var ticket = FlashTicket(rawValue: 0)
        var pendingCount = 0
        var failure: ReadFailure?
    }

    init(file: ColdFile, arena: MemoryArena) {
        self.file = file
        self.arena = arena
    }

    /// Uses `range` of the arena from now on.
    func cut(_ range: Range<Int>, pageBytes: Int) {
        precondition(halves.allSatisfy { $0.pendingCount == 0 }, "reads are under way")
        start = range.lowerBound
        self.pageBytes = pageBytes
        spansPerGroup = range.count / (2 * KVLayout.spanPages * pageBytes)
        precondition(spansPerGroup > 0, "no room for a span")
        halves = [Half(), Half()]
        pages = ColdPageCache(count: pageSlotCount)
        readsPages = false
    }

    /// Pages that there is memory for.
    var pageSlotCount: Int { 2 * spansPerGroup * KVLayout.spanPages }

    /// Where the memory of such a page begins.
    func offset(ofPage slot: Int) -> Int { start + slot * pageBytes }

    /// Pages have the memory from now on.
    func beginPages() throws(ReadFailure) {
        guard !readsPages else { return }
        try drain()
        readsPages = true
    }

    /// Groups have the memory from now on.
    private func beginGroups() throws(ReadFailure) {
        guard readsPages else { return }
        try drain()
        forgetPages()
        readsPages = false
    }

    /// Where a group's pages are, when they are there: the first one's byte in the arena.
    ///
    /// - Parameter places: of the group's spans.
    /// - Throws: `ReadFailure` when they do not come, or are not what was written.
    func demand(_ group: ColdGroup, _ places: [ColdPlace]) throws(ReadFailure) -> Int {
        try beginGroups()
        if halves[turn].group != group { try startReading(group, places) }
        let half = turn
        while halves[half].pendingCount > 0 { try takeCompletion() }
        turn = 1 - turn
        // It is not believed twice.
        halves[half].group = nil
        if let failure = halves[half].failure { throw failure }
        let target = offset(of: half)
        for (index, place) in places.enumerated() {
            try file.check(place, at: target + index * KVLayout.spanPages * pageBytes)
        }
        return target
    }

    /// Begins to read what will be wanted next, into the memory that is not computed with.
    func readAhead(_ group: ColdGroup, _ places: [ColdPlace]) throws(ReadFailure) {
        try beginGroups()
        if halves[turn].group != group { try startReading(group, places) }
    }

    /// Waits for whatever is under way, wanted or not.
    func drain() throws(ReadFailure) {
        while file.requestsInFlight > 0 { try takeCompletion() }
        for half in halves.indices { halves[half].group = nil }
    }

    private func startReading(
        _ group: ColdGroup, _ places: [ColdPlace]
    ) throws(ReadFailure) {
        while halves[turn].pendingCount > 0 { try takeCompletion() }
        halves[turn] = Half(group: group, ticket: file.newTicket())
        for (index, place) in places.enumerated() {
            try file.startReading(
                place, to: offset(of: turn) + index * KVLayout.spanPages * pageBytes,
                ticket: halves[turn].ticket)
            halves[turn].pendingCount += 1
        }
    }

    func takeCompletion() throws(ReadFailure) {
        let completion = try file.wait()
        if takePage(completion) { return }
        // Another one's is of a request that was given up.
        guard let half = halves.firstIndex(where: { $0.ticket == completion.request.ticket })
        else { return }
        halves[half].pendingCount -= 1
        if let failure = completion.failure { halves[half].failure = failure }
    }

    private func offset(of half: Int) -> Int {
        start + half * spansPerGroup * KVLayout.spanPages * pageBytes
    }
}
