// The way back of single pages on flash, in any order: the memory that groups pass through is then
// cut into pages, which stay until their room is needed: those not used for longest go first.

internal import FlashStorage
internal import LinuxSystem

/// A page on flash.
struct ColdPage: Hashable, Sendable {
    let place: ColdPlace
    /// In its span.
    let index: Int
}

/// The pages that were read, and those that are on their way.
struct ColdPageCache {
    fileprivate struct Slot {
        var page: ColdPage?
        /// Nil where nothing is on its way.
        var ticket: FlashTicket?
        var failure: ReadFailure?
        /// Whether what came was looked at.
        var isChecked = false
        var lastUse: UInt64 = 0
    }

    fileprivate var slots: [Slot] = []
    fileprivate var places: [ColdPage: Int] = [:]
    /// Calls so far: what was used in the present one stays.
    fileprivate var time: UInt64 = 0

    /// - Parameter count: pages that there is room for.
    init(count: Int) { slots = Array(repeating: Slot(), count: count) }

    /// The slot that was not used for longest, and whose page is not needed now; nil where all are.
    fileprivate func victim() -> Int? {
        let free = slots.indices.lazy.filter { slots[$0].ticket == nil && slots[$0].lastUse < time }
        return free.min { slots[$0].lastUse < slots[$1].lastUse }
    }

    /// Gives a slot to a page.
    fileprivate mutating func put(_ page: ColdPage, in slot: Int, ticket: FlashTicket) {
        if let old = slots[slot].page { places[old] = nil }
        slots[slot] = Slot(page: page, ticket: ticket, lastUse: time)
        places[page] = slot
    }

    fileprivate mutating func forget(_ slot: Int) {
        if let page = slots[slot].page { places[page] = nil }
        slots[slot].page = nil
        slots[slot].lastUse = 0
    }
}

extension ColdReads {
    /// Pages that can be asked for together: as many again are read meanwhile.
    var pagesAtOnce: Int { pageSlotCount / 2 / KVLayout.spanPages * KVLayout.spanPages }

    /// Where pages are, when they are there: their first bytes in the arena.
    ///
    /// - Parameter wanted: at most ``pagesAtOnce``.
    /// - Throws: `ReadFailure` when one does not come, or is not what was written.
    func demand(pages wanted: [ColdPage]) throws(ReadFailure) -> [Int] {
        precondition(wanted.count <= pagesAtOnce, "more pages than there is room for")
        try beginPages()
        pages.time += 1
        for page in wanted { pages.touch(page) }
        for page in wanted where pages.places[page] == nil {
            // What is on its way may have all other slots.
            while pages.victim() == nil { try takeCompletion() }
            try start(page)
        }
        return try wanted.map { page throws(ReadFailure) in try finish(page) }
    }

    /// Begins to read pages, as far as there is room.
    func readAhead(pages wanted: [ColdPage]) throws(ReadFailure) {
        try beginPages()
        for page in wanted { pages.touch(page) }
        for page in wanted where pages.places[page] == nil {
            guard pages.victim() != nil else { return }
            try start(page)
        }
    }

    /// Forgets all that was read: places are about to hold something else.
    func forgetPages() {
        for slot in pages.slots.indices { pages.forget(slot) }
    }

    /// Takes the end of a read of a page in.
    ///
    /// - Returns: false where it was of none.
    func takePage(_ completion: FlashCompletion) -> Bool {
        let ticket = completion.request.ticket
        guard let slot = pages.slots.firstIndex(where: { $0.ticket == ticket }) else {
            return false
        }
        pages.slots[slot].ticket = nil
        pages.slots[slot].failure = completion.failure
        return true
    }

    private func start(_ page: ColdPage) throws(ReadFailure) {
        guard let slot = pages.victim() else { preconditionFailure("no slot is free") }
        let ticket = file.newTicket()
        pages.put(page, in: slot, ticket: ticket)
        do throws(ReadFailure) {
            try file.startReading(page, to: offset(ofPage: slot), ticket: ticket)
        } catch {
            pages.slots[slot].ticket = nil
            pages.forget(slot)
            throw error
        }
    }

    private func finish(_ page: ColdPage) throws(ReadFailure) -> Int {
        guard let slot = pages.places[page] else { preconditionFailure("nobody reads it") }
        while pages.slots[slot].ticket != nil { try takeCompletion() }
        if let failure = pages.slots[slot].failure {
            pages.forget(slot)
            throw failure
        }
        let target = offset(ofPage: slot)
        if !pages.slots[slot].isChecked {
            do throws(ReadFailure) {
                try file.check(page, at: target)
            } catch {
                pages.forget(slot)
                throw error
            }
            pages.slots[slot].isChecked = true
        }
        return target
    }
}

extension ColdPageCache {
    /// What is wanted now is not given away.
    fileprivate mutating func touch(_ page: ColdPage) {
        if let slot = places[page] { slots[slot].lastUse = time }
    }
}
