// io_uring behind the ReadQueue face: single issuer, registered file and buffers where the kernel
// and RLIMIT_MEMLOCK allow them. Made, used and freed on one thread (IORING_SETUP_SINGLE_ISSUER).

internal import CURing
internal import Glibc

/// Reads through one io_uring (io_uring(7)).
@safe
package final class RingReadQueue: ReadQueue {
    /// The kernel's limit for one registered buffer is 1 GiB; larger arenas are registered in
    /// pieces.
    private static let registeredPieceBytes = 512 << 20
    /// How long reads under way are waited for at the end.
    private static let drainNanosecondsMax: UInt64 = 500_000_000

    package let kind = "io_uring"
    package let depth: Int
    /// False when RLIMIT_MEMLOCK is too small; reads then name plain addresses.
    package private(set) var hasRegisteredBuffers = false
    private var ring = unsafe io_uring()
    private let file: FileDescriptor
    private let arena: MemoryArena
    private var inFlight = 0
    /// A ring that the kernel refused must not be torn down: its descriptor would be 0.
    private var isSetUp = false

    /// Sets up a ring of `depth` entries for `file` and registers `arena` with it.
    ///
    /// - Throws: `SystemError` when the kernel, or a filter before it, refuses any call that
    /// io_uring takes (io_uring_setup(2), io_uring_register(2), io_uring_enter(2)): use threads.
    package init(file: consuming FileDescriptor, arena: MemoryArena, depth: Int) throws(SystemError)
    {
        self.file = file
        self.arena = arena
        self.depth = depth
        let fast: UInt32 =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN
        var status = unsafe io_uring_queue_init(UInt32(depth), &ring, fast)
        if status == -EINVAL { status = unsafe io_uring_queue_init(UInt32(depth), &ring, 0) }
        guard status == 0 else { throw Self.refusal("io_uring_setup", -status) }
        isSetUp = true
        try registerFile()
        try probe()
        registerBuffers()
    }

    deinit {
        guard isSetUp else { return }
        // Reads still under way write into the arena: they end before it can be freed.
        let deadline = MonotonicClock.nanoseconds + Self.drainNanosecondsMax
        while readsUnderWay > 0, MonotonicClock.nanoseconds < deadline {
            guard (try? next(within: Self.drainNanosecondsMax)) != nil else { break }
        }
        if readsUnderWay > 0 {
            // The drive does not answer. What may still be written stays mapped for good.
            _ = unsafe Unmanaged.passRetained(arena)
            return unsafe io_uring_queue_exit(&ring)
        }
        // The kernel takes a ring apart later, and would hold the arena's memory until then.
        if hasRegisteredBuffers { unsafe io_uring_unregister_buffers(&ring) }
        unsafe io_uring_queue_exit(&ring)
    }

    package func push(_ command: ReadCommand) {
        precondition(inFlight < depth, "more reads than the queue is deep")
        guard let entry = unsafe io_uring_get_sqe(&ring) else {
            preconditionFailure("the ring has an entry for every read in flight")
        }
        let destination = unsafe arena.address(command.arenaOffset, byteCount: command.byteCount)
        let first = command.arenaOffset / Self.registeredPieceBytes
        let last = (command.arenaOffset + command.byteCount - 1) / Self.registeredPieceBytes
        if hasRegisteredBuffers && first == last {
            unsafe io_uring_prep_read_fixed(
                entry, 0, destination, UInt32(command.byteCount), command.fileOffset, Int32(first))
        } else {
            unsafe io_uring_prep_read(
                entry, 0, destination, UInt32(command.byteCount), command.fileOffset)
        }
        unsafe entry.pointee.flags |= 1  // IOSQE_FIXED_FILE, a macro over an enum: not imported
        unsafe io_uring_sqe_set_data64(entry, command.tag)
        inFlight += 1
    }

    package func flush() throws(SystemError) {
        while unsafe io_uring_sq_ready(&ring) > 0 {
            let status = unsafe io_uring_submit(&ring)
            if status >= 0 || status == -EINTR { continue }
            guard status == -EAGAIN || status == -EBUSY else {
                throw SystemError("io_uring_enter", errorNumber: -status, subject: file.path)
            }
            // The kernel is short of memory for requests: let completions free some.
            _ = unsafe io_uring_get_events(&ring)
        }
    }

    package func next(within nanosecondsMax: UInt64) throws(SystemError) -> ReadResult? {
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        if unsafe io_uring_peek_cqe(&ring, &entry) != 0 {
            guard nanosecondsMax > 0 else {
                _ = unsafe io_uring_get_events(&ring)
                return unsafe io_uring_peek_cqe(&ring, &entry) == 0 ? take(entry) : nil
            }
            precondition(inFlight > 0, "waiting for a read that was never issued")
            var limit = __kernel_timespec(
                tv_sec: Int64(nanosecondsMax / 1_000_000_000),
                tv_nsec: Int64(nanosecondsMax % 1_000_000_000))
            var status: Int32
            repeat {
                status = unsafe io_uring_wait_cqe_timeout(&ring, &entry, &limit)
            } while status == -EINTR
            if status == -ETIME { return nil }
            guard status == 0 else {
                throw SystemError("io_uring_enter", errorNumber: -status, subject: file.path)
            }
        }
        return unsafe take(entry)
    }

    private func take(_ entry: UnsafeMutablePointer<io_uring_cqe>?) -> ReadResult? {
        guard let entry = unsafe entry else { return nil }
        let tag = unsafe entry.pointee.user_data
        let result = unsafe entry.pointee.res
        unsafe io_uring_cqe_seen(&ring, entry)
        inFlight -= 1
        return ReadResult(
            tag: tag, outcome: result >= 0 ? .bytes(Int(result)) : .failed(errorNumber: -result))
    }

    private static func refusal(_ call: String, _ number: Int32) -> SystemError {
        SystemError(call, errorNumber: number, subject: "reading through io_uring")
    }

    /// Those that the kernel was told of.
    private var readsUnderWay: Int { inFlight - Int(unsafe io_uring_sq_ready(&ring)) }

    private func registerFile() throws(SystemError) {
        var descriptor = file.rawValue
        let status = unsafe io_uring_register_files(&ring, &descriptor, 1)
        guard status == 0 else { throw Self.refusal("io_uring_register", -status) }
    }

    /// Has the ring do nothing, once: whether it can be entered shows only when it is.
    private func probe() throws(SystemError) {
        guard let operation = unsafe io_uring_get_sqe(&ring) else {
            throw Self.refusal("io_uring_setup", ENOSPC)
        }
        unsafe io_uring_prep_nop(operation)
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        while unsafe io_uring_peek_cqe(&ring, &entry) != 0 {
            let status = unsafe io_uring_submit_and_wait(&ring, 1)
            guard status >= 0 || status == -EINTR else {
                throw Self.refusal("io_uring_enter", -status)
            }
        }
        unsafe io_uring_cqe_seen(&ring, entry)
    }

    private func registerBuffers() {
        var pieces: [iovec] = unsafe []
        var start = 0
        while start < arena.byteCount {
            let count = min(Self.registeredPieceBytes, arena.byteCount - start)
            let address = unsafe arena.address(start, byteCount: count)
            unsafe pieces.append(iovec(iov_base: address, iov_len: count))
            start += count
        }
        let status = unsafe io_uring_register_buffers(&ring, &pieces, UInt32(pieces.count))
        hasRegisteredBuffers = status == 0
    }
}
