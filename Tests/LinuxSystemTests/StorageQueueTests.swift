// Both queues bring the bytes that are in the file and put there what they are given, and say what
// became of each command.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct StorageQueueTests {
    private static let fileBytes = 300_000

    @Test(arguments: ["io_uring", "pread"], [1, 4, 33])
    func randomReadsBringTheFilesBytes(kind: String, depth: Int) throws {
        let seed: UInt64 = 20_264
        print("seed \(seed)")
        var generator = SplitMix(seed: seed)
        let contents = (0..<Self.fileBytes).map { _ in UInt8.random(in: 0...255, using: &generator)
        }
        let file = try TemporaryFile(contents)
        let arena = try MemoryArena(byteCount: depth * 8192)
        guard let queue = try makeQueue(kind, file.path, arena, depth) else { return }
        for _ in 0..<20 {
            let commands = (0..<depth).map { slot in
                StorageCommand(
                    tag: UInt64(slot),
                    fileOffset: UInt64.random(in: 0..<320_000, using: &generator),
                    byteCount: Int.random(in: 1...8192, using: &generator),
                    arenaOffset: slot * 8192)
            }
            for command in commands { queue.push(command) }
            try queue.flush()
            for _ in commands {
                let result = try #require(try queue.next(waiting: true))
                let command = commands[Int(result.tag)]
                let start = min(Int(command.fileOffset), Self.fileBytes)
                let expected = contents[start..<min(start + command.byteCount, Self.fileBytes)]
                #expect(result.outcome == .bytes(expected.count))
                let bytes = arena.bytes(at: command.arenaOffset, byteCount: expected.count)
                let found = (0..<expected.count).map {
                    unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
                }
                #expect(found == Array(expected))
            }
            #expect(try queue.next(waiting: false) == nil)
        }
    }

    @Test(arguments: ["io_uring", "pread"]) func failedReadNamesItsCommand(kind: String) throws {
        let arena = try MemoryArena(byteCount: 4096)
        // A directory opens for reading and gives EISDIR.
        guard let queue = try makeQueue(kind, "/", arena, 2) else { return }
        queue.push(StorageCommand(tag: 42, fileOffset: 0, byteCount: 4096, arenaOffset: 0))
        try queue.flush()
        let result = try #require(try queue.next(waiting: true))
        #expect(result == StorageResult(tag: 42, outcome: .failed(errorNumber: EISDIR)))
    }

    /// Random extents of several files, each file with its own bytes.
    @Test(arguments: ["io_uring", "pread"]) func writesReachTheirFiles(kind: String) throws {
        let files = try (0..<3).map { _ in try TemporaryFile([]) }
        let arena = try MemoryArena(byteCount: 4 * 8192)
        guard let queue = try makeQueue(kind, "/dev/null", arena, 4) else { return }
        let indices = try files.map { file in
            try queue.register(FileDescriptor(path: file.path, mode: .readWrite))
        }
        #expect(Set(indices).count == 3 && !indices.contains(.first))
        var expected = [[UInt8]](repeating: [UInt8](repeating: 0, count: 100_000), count: 3)
        for _ in 0..<50 {
            for slot in 0..<4 {
                let file = Int.random(in: 0..<3)
                let bytes = (0..<Int.random(in: 1...8192)).map { _ in UInt8.random(in: 0...255) }
                // Each its own part: what overlaps has no order.
                let start = slot * 25_000 + Int.random(in: 0...25_000 - bytes.count)
                arena.copy(unsafe bytes.span.bytes, to: slot * 8192)
                expected[file].replaceSubrange(start..<start + bytes.count, with: bytes)
                queue.push(
                    StorageCommand(
                        tag: UInt64(bytes.count), .write, file: indices[file],
                        fileOffset: UInt64(start), byteCount: bytes.count,
                        arenaOffset: slot * 8192))
            }
            try queue.flush()
            for _ in 0..<4 {
                let result = try #require(try queue.next(waiting: true))
                #expect(result.outcome == .bytes(Int(result.tag)))
            }
        }
        for (file, bytes) in zip(files, expected) {
            let found = try SystemCalls.readFile(file.path, bytesMax: 100_000)
            #expect(found == Array(bytes[..<found.count]))
            #expect(bytes[found.count...].allSatisfy { $0 == 0 })
        }
    }

    @Test(arguments: ["io_uring", "pread"]) func fullDeviceAndTooManyFiles(kind: String) throws {
        let arena = try MemoryArena(byteCount: 4096)
        guard let queue = try makeQueue(kind, "/dev/null", arena, 2) else { return }
        let full = try queue.register(FileDescriptor(path: "/dev/full", mode: .readWrite))
        queue.push(
            StorageCommand(
                tag: 7, .write, file: full, fileOffset: 0, byteCount: 4096, arenaOffset: 0))
        try queue.flush()
        let result = try #require(try queue.next(waiting: true))
        #expect(result == StorageResult(tag: 7, outcome: .failed(errorNumber: ENOSPC)))
        for _ in 2..<StorageQueueLimits.filesMax {
            _ = try queue.register(FileDescriptor(path: "/dev/null", mode: .read))
        }
        do {
            _ = try queue.register(FileDescriptor(path: "/dev/null", mode: .read))
            Issue.record("one file too many was taken")
        } catch {
            #expect(error.errorNumber == EMFILE)
        }
    }

    /// A write beyond the limit of files' sizes (RLIMIT_FSIZE) is an error, not the process's end.
    @Test(arguments: ["io_uring", "pread"]) func tooLargeFilesAreAnError(kind: String) throws {
        let file = try TemporaryFile([])
        let arena = try MemoryArena(byteCount: 4096)
        guard let queue = try makeQueue(kind, "/dev/null", arena, 1) else { return }
        let index = try queue.register(FileDescriptor(path: file.path, mode: .readWrite))
        let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        var limit = rlimit()
        #expect(unsafe getrlimit(resource, &limit) == 0)
        let before = limit
        // More than any other test writes meanwhile.
        limit.rlim_cur = 8 << 30
        #expect(unsafe setrlimit(resource, &limit) == 0)
        defer {
            limit = before
            unsafe setrlimit(resource, &limit)
        }
        queue.push(
            StorageCommand(
                tag: 1, .write, file: index, fileOffset: 9 << 30, byteCount: 4096, arenaOffset: 0))
        try queue.flush()
        let result = try #require(try queue.next(waiting: true))
        #expect(result.outcome == .failed(errorNumber: EFBIG))
    }

    /// A ring of no entries is refused; what was open stays open.
    @Test func refusedRingClosesNothing() throws {
        let arena = try MemoryArena(byteCount: 4096)
        let isOpen = fcntl(0, F_GETFD) >= 0
        #expect(throws: SystemError.self) {
            _ = try RingQueue(
                file: FileDescriptor(path: "/", mode: .read), arena: arena, depth: 0)
        }
        #expect((fcntl(0, F_GETFD) >= 0) == isOpen)
    }

    /// A drive that never answers must not hold whoever lets go of it: here, a pipe that nobody
    /// writes to. What may still be read has its memory for good.
    @Test func aReadThatNeverEndsIsLeft() throws {
        let path = "/tmp/sluice-system-\(getpid())-pipe"
        #expect(unsafe mkfifo(path, 0o600) == 0)
        defer { _ = unsafe unlink(path) }
        weak var memory: MemoryArena?
        do {
            let arena = try MemoryArena(byteCount: 4096)
            memory = arena
            let file = try FileDescriptor(path: path, mode: .readWrite)
            let queue: RingQueue
            do { queue = try RingQueue(file: file, arena: arena, depth: 1) } catch {
                print("skipped: \(error)")
                return
            }
            queue.push(StorageCommand(tag: 1, fileOffset: 0, byteCount: 4096, arenaOffset: 0))
            try queue.flush()
            #expect(try queue.next(within: 1_000_000) == nil)
        }
        #expect(memory != nil)
    }

    /// Nil, and said, where the kernel refuses io_uring.
    private func makeQueue(
        _ kind: String, _ path: String, _ arena: MemoryArena, _ depth: Int
    ) throws -> (any StorageQueue)? {
        let file = try FileDescriptor(path: path, mode: .read)
        guard kind == "io_uring" else {
            return try ThreadQueue(file: file, arena: arena, depth: depth)
        }
        do {
            return try RingQueue(file: file, arena: arena, depth: depth)
        } catch {
            print("skipped: \(error)")
            return nil
        }
    }
}

/// A file for as long as this lives.
final class TemporaryFile {
    let path = "/tmp/sluice-system-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"

    init(_ contents: [UInt8]) throws {
        let file = try FileDescriptor(path: path, mode: .createNew)
        try unsafe file.write(contents.span.bytes, at: 0)
    }

    deinit { _ = unsafe unlink(path) }
}
