// Threads that compute together. The caller is member 0; the others spin briefly for work, then
// sleep on a futex, so an idle team uses no processor time.

internal import CLinux
internal import Glibc
internal import Synchronization

/// A fixed group of pinned threads that run the pieces of one operation at a time.
///
/// Only one thread may call ``run(pieces:_:)``; it becomes member 0.
package final class ComputeTeam: Sendable {
    package let memberCount: Int
    private let state: TeamState
    private let threads: [Thread]

    /// Starts `memberCount - 1` threads, pinned to the processors that this process may use.
    package init(memberCount: Int) {
        let count = max(1, min(memberCount, 256))
        let state = TeamState()
        let processors = Processors.allowed
        var threads: [Thread] = []
        for member in 1..<max(count, 1) {
            let processor = processors.isEmpty ? nil : processors[member % processors.count]
            guard let thread = try? Thread({ state.work(pinnedTo: processor) }) else { break }
            threads.append(thread)
        }
        self.state = state
        self.threads = threads
        self.memberCount = threads.count + 1
    }

    deinit {
        state.stop()
        for thread in threads { thread.join() }
    }

    /// Calls `body` once for each of `0..<pieces`, on all members, and returns when all are done.
    ///
    /// Pieces are claimed one by one, so uneven processors share the work evenly.
    package func run(pieces: Int, _ body: @Sendable (Int) -> Void) {
        precondition(pieces <= TeamState.piecesMax, "an operation has too many pieces")
        if pieces <= 1 || threads.isEmpty {
            for piece in 0..<pieces { body(piece) }
            return
        }
        withoutActuallyEscaping(body) { state.run(pieces: pieces, $0) }
    }
}

/// The processors that the calling thread may run on.
package enum Processors {
    package static var allowed: [Int] {
        var numbers = [Int32](repeating: 0, count: 1024)
        let count = unsafe clinux_allowed_processors(&numbers, Int32(numbers.count))
        return numbers.prefix(Int(count)).map(Int.init)
    }
}

/// What the members share. `ticket` packs generation, piece count and next piece into one word, so
/// that a late member cannot claim a piece of an operation that it does not know.
@safe
private final class TeamState: @unchecked Sendable {
    static let piecesMax = 1 << 20 - 1
    private static let spinsMax = 4000

    private let ticket = Atomic<UInt64>(0)
    private let unfinished = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let sleepers = Atomic<Int>(0)
    /// A futex word; it counts operations.
    private let epoch: UnsafeMutablePointer<UInt32>
    private var body: (@Sendable (Int) -> Void)?

    init() {
        unsafe epoch = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        unsafe epoch.initialize(to: 0)
    }

    deinit { unsafe epoch.deallocate() }

    func run(pieces: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let generation = ((ticket.load(ordering: .relaxed) >> 40) + 1) & 0xFF_FFFF
        self.body = body
        unfinished.store(pieces, ordering: .relaxed)
        ticket.store(generation << 40 | UInt64(pieces) << 20, ordering: .releasing)
        wakeSleepers()
        claimPieces(of: generation)
        var spins = 0
        while unfinished.load(ordering: .acquiring) > 0 {
            spins += 1
            if spins % Self.spinsMax == 0 { sched_yield() } else { clinux_spin_hint() }
        }
        self.body = nil
    }

    func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        wakeSleepers()
    }

    func work(pinnedTo processor: Int?) {
        if let processor { _ = clinux_pin_thread(Int32(processor)) }
        var seen: UInt64 = 0
        while let generation = nextGeneration(after: seen) {
            claimPieces(of: generation)
            seen = generation
        }
    }

    private func nextGeneration(after seen: UInt64) -> UInt64? {
        while true {
            let before = unsafe clinux_word_load(epoch)
            for _ in 0..<Self.spinsMax {
                if isStopped.load(ordering: .relaxed) { return nil }
                let generation = ticket.load(ordering: .acquiring) >> 40
                if generation != seen { return generation }
                clinux_spin_hint()
            }
            sleepers.add(1, ordering: .sequentiallyConsistent)
            _ = unsafe clinux_futex_wait(epoch, before)
            sleepers.subtract(1, ordering: .sequentiallyConsistent)
        }
    }

    private func claimPieces(of generation: UInt64) {
        while true {
            let word = ticket.load(ordering: .acquiring)
            let next = word & 0xF_FFFF
            guard word >> 40 == generation, next < word >> 20 & 0xF_FFFF else { return }
            let (isOurs, _) = ticket.weakCompareExchange(
                expected: word, desired: word + 1, ordering: .acquiringAndReleasing)
            guard isOurs else { continue }
            body?(Int(next))
            unfinished.subtract(1, ordering: .releasing)
        }
    }

    private func wakeSleepers() {
        unsafe clinux_word_increment(epoch)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
            unsafe clinux_futex_wake(epoch, Int32.max)
        }
    }
}
