// io_uring behind the StorageQueue face: single issuer, registered files, and registered buffers
// where the kernel and RLIMIT_MEMLOCK allow them. Made, used and freed on one thread
// (IORING_SETUP_SINGLE_ISSUER).

internal import CURing
internal import Glibc

/// Reads and writes through one io_uring (io_uring(7)).
@safe
package final class RingQueue: StorageQueue {
    /// The kernel's limit for one registered buffer is 1 GiB; larger arenas are registered in
    /// pieces.
    private static let registeredPieceBytes = 512 << 20
    /// How long commands under way are waited for at the end.
    private static let drainNanosecondsMax: UInt64 = 500_000_000

    package let kind = "io_uring"
    package let depth: Int
    /// False when RLIMIT_MEMLOCK is too small; commands then name plain addresses.
    package private(set) var hasRegisteredBuffers = false
    private var ring = unsafe io_uring()
    private var files: OpenFiles
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
        files = OpenFiles(file)
        self.arena = arena
        self.depth = depth
        let fast: UInt32 =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN
        var status = unsafe io_uring_queue_init(UInt32(depth), &ring, fast)
        if status == -EINVAL { status = unsafe io_uring_queue_init(UInt32(depth), &ring, 0) }
        guard status == 0 else { throw Self.refusal("io_uring_setup", -status) }
        isSetUp = true
        SystemCalls.ignoreFileSizeSignal()
        try registerFiles()
        try probe()
        registerBuffers()
    }

    deinit {
        guard isSetUp else { return }
        // Commands still under way use the arena: they end before it can be freed.
        let deadline = MonotonicClock.nanoseconds + Self.drainNanosecondsMax
        while commandsUnderWay > 0, MonotonicClock.nanoseconds < deadline {
            guard (try? next(within: Self.drainNanosecondsMax)) != nil else { break }
        }
        if commandsUnderWay > 0 {
            // The drive does not answer. What it may still use stays mapped for good.
            _ = unsafe Unmanaged.passRetained(arena)
            return unsafe io_uring_queue_exit(&ring)
        }
        // The kernel takes a ring apart later, and would hold the arena's memory until then.
        if hasRegisteredBuffers { unsafe io_uring_unregister_buffers(&ring) }
        unsafe io_uring_queue_exit(&ring)
    }

    package func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        let path = file.path
        let index = try files.add(file)
        var descriptor = files[index]
        let status = unsafe io_uring_register_files_update(
            &ring, UInt32(index.rawValue), &descriptor, 1)
        guard status == 1 else {
            throw SystemError("io_uring_register", errorNumber: -status, subject: path)
        }
        return index
    }

    package func push(_ command: StorageCommand) {
        precondition(inFlight < depth, "more commands than the queue is deep")
        guard let entry = unsafe io_uring_get_sqe(&ring) else {
            preconditionFailure("the ring has an entry for every command in flight")
        }
        unsafe prepare(entry, command)
        // IOSQE_FIXED_FILE, a macro over an enum: not imported
        unsafe entry.pointee.flags |= 1
        unsafe io_uring_sqe_set_data64(entry, command.tag)
        inFlight += 1
    }

    /// Of a registered buffer where the bytes are within one.
    private func prepare(_ entry: UnsafeMutablePointer<io_uring_sqe>, _ command: StorageCommand) {
        let memory = unsafe arena.address(command.arenaOffset, byteCount: command.byteCount)
        let first = command.arenaOffset / Self.registeredPieceBytes
        let last = (command.arenaOffset + command.byteCount - 1) / Self.registeredPieceBytes
        let isRegistered = hasRegisteredBuffers && first == last
        let (file, count) = (Int32(command.file.rawValue), UInt32(command.byteCount))
        let offset = command.fileOffset
        switch (command.direction, isRegistered) {
        case (.read, true):
            unsafe io_uring_prep_read_fixed(entry, file, memory, count, offset, Int32(first))
        case (.read, false): unsafe io_uring_prep_read(entry, file, memory, count, offset)
        case (.write, true):
            unsafe io_uring_prep_write_fixed(entry, file, memory, count, offset, Int32(first))
        case (.write, false): unsafe io_uring_prep_write(entry, file, memory, count, offset)
        }
    }

    package func flush() throws(SystemError) {
        while unsafe io_uring_sq_ready(&ring) > 0 {
            let status = unsafe io_uring_submit(&ring)
            if status >= 0 || status == -EINTR { continue }
            guard status == -EAGAIN || status == -EBUSY else {
                throw refusalToEnter(status)
            }
            // The kernel is short of memory for requests: let completions free some.
            _ = unsafe io_uring_get_events(&ring)
        }
    }

    package func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult? {
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        if unsafe io_uring_peek_cqe(&ring, &entry) != 0 {
            guard nanosecondsMax > 0 else {
                _ = unsafe io_uring_get_events(&ring)
                return unsafe io_uring_peek_cqe(&ring, &entry) == 0 ? take(entry) : nil
            }
            precondition(inFlight > 0, "waiting for a command that was never issued")
            var limit = __kernel_timespec(
                tv_sec: Int64(nanosecondsMax / 1_000_000_000),
                tv_nsec: Int64(nanosecondsMax % 1_000_000_000))
            var status: Int32
            repeat {
                status = unsafe io_uring_wait_cqe_timeout(&ring, &entry, &limit)
            } while status == -EINTR
            if status == -ETIME { return nil }
            guard status == 0 else {
                throw refusalToEnter(status)
            }
        }
        return unsafe take(entry)
    }

    private func take(_ entry: UnsafeMutablePointer<io_uring_cqe>?) -> StorageResult? {
        guard let entry = unsafe entry else { return nil }
        let tag = unsafe entry.pointee.user_data
        let result = unsafe entry.pointee.res
        unsafe io_uring_cqe_seen(&ring, entry)
        inFlight -= 1
        return StorageResult(
            tag: tag, outcome: result >= 0 ? .bytes(Int(result)) : .failed(errorNumber: -result))
    }

    private func refusalToEnter(_ status: Int32) -> SystemError {
        SystemError("io_uring_enter", errorNumber: -status, subject: files.path(.first))
    }

    private static func refusal(_ call: String, _ number: Int32) -> SystemError {
        SystemError(call, errorNumber: number, subject: "reading through io_uring")
    }

    /// Those that the kernel was told of.
    private var commandsUnderWay: Int { inFlight - Int(unsafe io_uring_sq_ready(&ring)) }

    /// A table with room for more files (io_uring_register_files(3): -1 is a free place).
    private func registerFiles() throws(SystemError) {
        var descriptors = [Int32](repeating: -1, count: StorageQueueLimits.filesMax)
        descriptors[0] = files[.first]
        let status = unsafe io_uring_register_files(
            &ring, &descriptors, UInt32(descriptors.count))
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
