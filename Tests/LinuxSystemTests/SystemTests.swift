// Files, memory, mailboxes, and what the kernel says of limits.

import Glibc
import LinuxSystem
import Synchronization
import TestSupport
import Testing

@Suite struct SystemTests {
    @Test func filesSayWhatIsWrong() throws {
        func failure(_ path: String) -> Int32? {
            do throws(SystemError) {
                let file = try FileDescriptor(path: path, mode: .read)
                _ = try file.byteCount()
                return nil
            } catch {
                return error.errorNumber
            }
        }
        #expect(failure("/nowhere/at/all") == ENOENT)
        #expect(failure("/tmp") == EISDIR)
        #expect(failure("/dev/null") == EINVAL)
        let pipe = "/tmp/sluice-pipe-\(getpid())"
        defer { _ = unsafe unlink(pipe) }
        #expect(unsafe mkfifo(pipe, 0o600) == 0)
        #expect(failure(pipe) == EINVAL)
        let file = try TemporaryFile(Array("hello".utf8))
        #expect(failure(file.path) == nil)
        #expect(throws: SystemError.self) {
            _ = try FileDescriptor(path: file.path, mode: .createNew)
        }
        #expect(
            SystemError("open", errorNumber: ENOENT, subject: "x").description
                == "x: open: No such file or directory")
    }

    @Test func pipesAreReadToTheirEnd() throws {
        var ends: [CInt] = [0, 0]
        let made = unsafe pipe(&ends)
        #expect(made == 0)
        defer { close(ends[0]) }
        let text = Array("hello".utf8)
        let written = unsafe write(ends[1], text, text.count)
        #expect(written == text.count)
        close(ends[1])
        let read = try SystemCalls.readFile("/proc/self/fd/\(ends[0])", bytesMax: 100)
        #expect(read == text)
    }

    @Test func readingEndsAtTheFilesEnd() throws {
        let file = try TemporaryFile(Array("hello".utf8))
        let descriptor = try FileDescriptor(path: file.path, mode: .read)
        var bytes = [UInt8](repeating: 0, count: 8)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        #expect(try descriptor.read(at: 2, into: &raw) == 3)
        #expect(bytes == Array("llo".utf8) + [0, 0, 0, 0, 0])
    }

    /// As a child between fork and exec has a copy, and io_uring while it is taken down.
    @Test func aLockOutlivesItsFileByMoments() throws {
        let file = try TemporaryFile(Array("hello".utf8))
        let copy: Int32
        do {
            let first = try FileDescriptor(path: file.path, mode: .readWrite)
            #expect(try first.lockForThisProcess())
            copy = dup(first.rawValue)
        }
        let second = try FileDescriptor(path: file.path, mode: .readWrite)
        #expect(try !second.lockForThisProcess(patienceMilliseconds: 0))
        let closing = try Thread {
            Thread.sleep(microseconds: 50_000)
            close(copy)
        }
        #expect(try second.lockForThisProcess(patienceMilliseconds: 60_000))
        closing.join()
    }

    @Test func directoriesAndNames() throws {
        let folder = "/tmp/sluice-folder-\(getpid())"
        defer { _ = unsafe (rmdir(folder + "/a/b"), rmdir(folder + "/a"), rmdir(folder)) }
        try FileSystem.createDirectory(folder + "/a/b")
        try FileSystem.createDirectory(folder + "/a/b")
        #expect(FileSystem.isDirectory(folder + "/a/b"))
        #expect(try FileSystem.names(in: folder) == ["a"])
        #expect(FileSystem.parent(of: "/a/b") == "/a" && FileSystem.parent(of: "/a") == "/")
        #expect(FileSystem.parent(of: "a") == "." && FileSystem.name(of: "/a/b.c") == "b.c")
    }

    @Test func buffersLieInTheirArena() throws {
        let sizes = [1, 100, 64, 3]
        let total = sizes.reduce(0) { $0 + Buffer<Float>.footprint(count: $1) }
        let arena = try MemoryArena(byteCount: total)
        for (index, size) in sizes.enumerated() {
            var buffer = Buffer<Float>(count: size, in: arena)
            #expect(buffer.count == size && buffer[size - 1] == 0)
            buffer[size - 1] = Float(index)
            #expect(buffer.span[size - 1] == Float(index))
        }
        #expect(arena.usedBytes <= total)
    }

    @Test func mailboxKeepsOrderAndBound() throws {
        let box = Mailbox<Int>(capacity: 3)
        #expect((0..<5).map { box.post($0) } == [true, true, true, false, false])
        #expect(box.take(waiting: true) == [0, 1, 2])
        #expect(box.take(waiting: false) == [])
        let posters = try (0..<4).map { number in
            try Thread {
                for index in 0..<100 {
                    while !box.post(number * 1000 + index) { Thread.sleep(microseconds: 50) }
                }
            }
        }
        var taken: [Int] = []
        while taken.count < 400 { taken += box.take(waiting: true) }
        for poster in posters { poster.join() }
        for number in 0..<4 {
            let own = taken.filter { $0 / 1000 == number }
            #expect(own == (0..<100).map { number * 1000 + $0 })
        }
    }

    @Test func limitsOfEveryGroupAbove() {
        #expect(
            MemoryLimits.limitFiles(cgroups: "0::/a.slice/b.service\n") == [
                "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.high",
                "/sys/fs/cgroup/a.slice/memory.max", "/sys/fs/cgroup/a.slice/memory.high",
                "/sys/fs/cgroup/a.slice/b.service/memory.max",
                "/sys/fs/cgroup/a.slice/b.service/memory.high"
            ])
        #expect(
            MemoryLimits.limitFiles(cgroups: "5:cpu,cpuacct:/x\n4:memory:/x/y\n1:name=systemd:/\n")
                == [
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
                    "/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes"
                ])
        #expect(MemoryLimits.limitFiles(cgroups: "nonsense\n:::\n") == [])
        #expect(MemoryLimits.smallestBytes() > 0)
        #expect(MemoryLimits.availableBytes() <= MemoryLimits.physicalBytes())
    }

    @Test func ownMemoryIsKnown() {
        let memory = ProcessMemory.current()
        #expect(memory.residentBytes > 1 << 20)
        #expect(memory.residentPeakBytes >= memory.residentBytes)
    }
}
