// The twin of RingQueue for kernels and containers that refuse io_uring: a few threads call
// pread(2) and pwrite(2).

internal import Glibc

/// Reads and writes through threads. Same face, same order guarantees (none), more processor time
/// per byte.
package final class ThreadQueue: StorageQueue {
    private static let threadsMax = 16

    package let kind = "pread"
    package let depth: Int
    private let exchange: Exchange
    private let threads: [Thread]
    private var inFlight = 0

    /// Starts at most `depth` threads for `file`.
    ///
    /// - Throws: `SystemError` when not even one thread can be started.
    package init(file: consuming FileDescriptor, arena: MemoryArena, depth: Int) throws(SystemError)
    {
        self.depth = depth
        let exchange = Exchange(file: file, arena: arena)
        self.exchange = exchange
        var threads: [Thread] = []
        for _ in 0..<min(depth, Self.threadsMax) {
            // Whoever starts these may be pinned; they serve wherever there is room.
            let thread = try? Thread(name: "sluice-storage") {
                Processors.pinThread(to: Processors.allowed)
                SystemCalls.ignoreFileSizeSignal()
                exchange.serve()
            }
            guard let thread else { break }
            threads.append(thread)
        }
        self.threads = threads
        if threads.isEmpty { throw SystemError("pthread_create", errorNumber: EAGAIN) }
    }

    deinit {
        exchange.stop()
        // A thread whose drive does not answer cannot be waited for. It keeps the memory that it
        // uses, and ends when its command does.
        for thread in threads { if inFlight == 0 { thread.join() } else { thread.detach() } }
    }

    package func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        try exchange.register(file)
    }

    package func push(_ command: StorageCommand) {
        inFlight += 1
        exchange.push(command)
    }

    package func flush() throws(SystemError) {}

    package func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult? {
        let result = exchange.next(within: nanosecondsMax)
        if result != nil { inFlight -= 1 }
        return result
    }
}

/// Commands and results between the issuing thread and those that serve it.
@safe
private final class Exchange: @unchecked Sendable {
    private var files: OpenFiles
    private let arena: MemoryArena
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let commandArrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let resultArrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var commands: [StorageCommand] = []
    private var results: [StorageResult] = []
    private var isStopped = false

    init(file: consuming FileDescriptor, arena: MemoryArena) {
        files = OpenFiles(file)
        self.arena = arena
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(commandArrived, nil)
        unsafe pthread_cond_init(resultArrived, nil)
    }

    deinit {
        unsafe mutex.deallocate()
        unsafe commandArrived.deallocate()
        unsafe resultArrived.deallocate()
    }

    func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try files.add(file)
    }

    func push(_ command: StorageCommand) {
        locked { commands.append(command) }
        unsafe pthread_cond_signal(commandArrived)
    }

    func next(within nanosecondsMax: UInt64) -> StorageResult? {
        var deadline = timespec()
        if nanosecondsMax > 0 {
            unsafe clock_gettime(CLOCK_REALTIME, &deadline)
            let nanoseconds = UInt64(deadline.tv_nsec) + nanosecondsMax
            deadline.tv_sec += Int(nanoseconds / 1_000_000_000)
            deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
        }
        return locked {
            var status: Int32 = 0
            while results.isEmpty && nanosecondsMax > 0 && status == 0 {
                status = unsafe pthread_cond_timedwait(resultArrived, mutex, &deadline)
            }
            return results.isEmpty ? nil : results.removeFirst()
        }
    }

    /// Ends the threads; what none has begun is left.
    func stop() {
        locked {
            isStopped = true
            commands.removeAll()
        }
        unsafe pthread_cond_broadcast(commandArrived)
    }

    /// A serving thread's life.
    func serve() {
        while let (command, descriptor) = take() {
            let count = transfer(command, descriptor)
            let outcome: StorageResult.Outcome =
                count >= 0 ? .bytes(count) : .failed(errorNumber: errno)
            locked { results.append(StorageResult(tag: command.tag, outcome: outcome)) }
            unsafe pthread_cond_signal(resultArrived)
        }
    }

    private func transfer(_ command: StorageCommand, _ descriptor: Int32) -> Int {
        let memory = unsafe arena.address(command.arenaOffset, byteCount: command.byteCount)
        let offset = off_t(command.fileOffset)
        return switch command.direction {
        case .read: unsafe pread(descriptor, memory, command.byteCount, offset)
        case .write: unsafe pwrite(descriptor, memory, command.byteCount, offset)
        }
    }

    private func take() -> (StorageCommand, descriptor: Int32)? {
        locked {
            while commands.isEmpty && !isStopped { unsafe pthread_cond_wait(commandArrived, mutex) }
            guard !commands.isEmpty else { return nil }
            let command = commands.removeFirst()
            return (command, files[command.file])
        }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return body()
    }
}
