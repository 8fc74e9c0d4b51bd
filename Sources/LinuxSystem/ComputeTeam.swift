// Threads that compute together. The caller is member 0; the others spin briefly for work, then
// sleep on a futex, so an idle team uses no processor time.

internal import CLinux
internal import Glibc
internal import Synchronization

/// What a team's members call for each piece: a C function on a job's address, so that handing out
/// an operation allocates nothing.
package typealias TeamCall = @convention(c) (_ job: UnsafeRawPointer, _ piece: Int) -> Void

/// A fixed group of pinned threads that run the pieces of one operation at a time.
///
/// Only one thread may call ``run(pieces:_:)`` and ``run(pieces:job:_:)``; it becomes member 0. A
/// thread that computes for long calls ``pinCaller()`` once before: left free, it was seen sharing
/// a processor with a member, each waiting for the other (31 tokens per second instead of 52).
package final class ComputeTeam: Sendable {
    package let memberCount: Int
    private let state: TeamState
    private let threads: [Thread]
    private let processors: [Int]
    private let progress: ProgressCounter?

    /// Starts `memberCount - 1` threads, pinned to the processors that this process may use.
    ///
    /// - Parameter progress: told of every piece that the caller itself computes.
    package init(memberCount: Int, progress: ProgressCounter? = nil) {
        self.progress = progress
        let count = max(1, min(memberCount, 256))
        let state = TeamState()
        let processors = Processors.allowed
        var threads: [Thread] = []
        for member in 1..<max(count, 1) {
            let processor = processors.isEmpty ? nil : processors[member % processors.count]
            guard
                let thread = try? Thread(
                    name: "sluice-compute", { state.work(pinnedTo: processor) })
            else { break }
            threads.append(thread)
        }
        self.state = state
        self.threads = threads
        self.processors = processors
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
        withoutActuallyEscaping(body) { body in
            unsafe run(pieces: pieces, job: body) { job, piece in
                unsafe job.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee(piece)
            }
        }
    }

    /// ``run(pieces:_:)`` without allocating: `call` gets the address of `job`, which outlives the
    /// call and is shared by all members.
    @unsafe
    package func run<Job>(pieces: Int, job: Job, _ call: TeamCall) {
        precondition(pieces <= TeamState.piecesMax, "an operation has too many pieces")
        unsafe withUnsafePointer(to: job) { job in
            let job = unsafe UnsafeRawPointer(job)
            if pieces <= 1 || threads.isEmpty {
                for piece in 0..<pieces {
                    unsafe call(job, piece)
                    progress?.note()
                }
                return
            }
            unsafe state.run(pieces: pieces, job: job, call, progress)
        }
    }

    /// Pins the calling thread to the processor that member 0 has, for good. Threads that it starts
    /// later inherit that.
    package func pinCaller() {
        Processors.pinThread(to: processors.prefix(1))
    }
}

/// The processors that this process may run on.
package enum Processors {
    /// As the first thread that asked was allowed, so before any was pinned.
    package static let allowed: [Int] = {
        var numbers = [Int32](repeating: 0, count: 1024)
        let count = unsafe clinux_allowed_processors(&numbers, Int32(numbers.count))
        return numbers.prefix(Int(count)).map(Int.init)
    }()

    /// Bytes of the largest cache of the first processor (sysfs, cpu-cacheinfo); nil where the
    /// kernel does not say.
    package static var cacheBytes: Int? {
        let folder = "/sys/devices/system/cpu/cpu\(allowed.first ?? 0)/cache"
        let sizes = (0..<8).compactMap { index -> Int? in
            let text = TextFile.read("\(folder)/index\(index)/size")
            return text?.split(separator: "K").first.flatMap { Int($0) }.map { $0 << 10 }
        }
        return sizes.max()
    }

    /// Lets the calling thread run on `processors` alone; no change where the kernel refuses.
    static func pinThread(to processors: some Collection<Int>) {
        guard !processors.isEmpty else { return }
        let numbers = processors.map(Int32.init)
        _ = unsafe clinux_pin_thread(numbers, Int32(numbers.count))
    }
}

/// What the members share. `ticket` packs generation, piece count and next piece into one word, so
/// that a late member cannot claim a piece of an operation that it does not know.
@safe
private final class TeamState: @unchecked Sendable {
    static let piecesMax = 1 << 20 - 1
    /// How long a member looks for work before it sleeps: longer than the pauses between one
    /// token's operations, short beside a wait for flash or for a client.
    private static let spinNanosecondsMax: UInt64 = 50_000
    /// Looks between two readings of the clock.
    private static let spinsPerClock = 64

    private let ticket = Atomic<UInt64>(0)
    private let unfinished = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let sleepers = Atomic<Int>(0)
    /// A futex word; it counts operations.
    private let epoch: UnsafeMutablePointer<UInt32>
    /// The present operation: written before `ticket` is, read after.
    private var job: UnsafeRawPointer?
    private var call: TeamCall?

    init() {
        unsafe epoch = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        unsafe epoch.initialize(to: 0)
    }

    deinit { unsafe epoch.deallocate() }

    func run(
        pieces: Int, job: UnsafeRawPointer, _ call: @escaping TeamCall, _ progress: ProgressCounter?
    ) {
        let generation = ((ticket.load(ordering: .relaxed) >> 40) + 1) & 0xFF_FFFF
        unsafe self.job = job
        unsafe self.call = call
        unfinished.store(pieces, ordering: .relaxed)
        ticket.store(generation << 40 | UInt64(pieces) << 20, ordering: .releasing)
        wakeSleepers()
        claimPieces(of: generation, progress)
        var spins = 0
        while unfinished.load(ordering: .acquiring) > 0 {
            spins += 1
            // A member that has lost its processor cannot finish while this one spins on it.
            if spins % 4096 == 0 { sched_yield() } else { clinux_spin_hint() }
        }
    }

    func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        wakeSleepers()
    }

    func work(pinnedTo processor: Int?) {
        if let processor { Processors.pinThread(to: [processor]) }
        var seen: UInt64 = 0
        while let generation = nextGeneration(after: seen) {
            claimPieces(of: generation, nil)
            seen = generation
        }
    }

    /// Waits for an operation after `seen`; nil when the team ends.
    private func nextGeneration(after seen: UInt64) -> UInt64? {
        while true {
            let before = unsafe clinux_word_load(epoch)
            let deadline = MonotonicClock.nanoseconds + Self.spinNanosecondsMax
            repeat {
                for _ in 0..<Self.spinsPerClock {
                    if isStopped.load(ordering: .relaxed) { return nil }
                    let generation = ticket.load(ordering: .acquiring) >> 40
                    if generation != seen { return generation }
                    clinux_spin_hint()
                }
            } while MonotonicClock.nanoseconds < deadline
            sleepers.add(1, ordering: .sequentiallyConsistent)
            _ = unsafe clinux_futex_wait(epoch, before)
            sleepers.subtract(1, ordering: .sequentiallyConsistent)
        }
    }

    private func claimPieces(of generation: UInt64, _ progress: ProgressCounter?) {
        while true {
            let word = ticket.load(ordering: .acquiring)
            let next = word & 0xF_FFFF
            guard word >> 40 == generation, next < word >> 20 & 0xF_FFFF else { return }
            let (isOurs, _) = ticket.weakCompareExchange(
                expected: word, desired: word + 1, ordering: .acquiringAndReleasing)
            guard isOurs else { continue }
            if let call = unsafe call, let job = unsafe job { unsafe call(job, Int(next)) }
            unfinished.subtract(1, ordering: .releasing)
            progress?.note()
        }
    }

    private func wakeSleepers() {
        unsafe clinux_word_increment(epoch)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
            unsafe clinux_futex_wake(epoch, Int32.max)
        }
    }
}
