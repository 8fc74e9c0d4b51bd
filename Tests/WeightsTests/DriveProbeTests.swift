// The drive's measurement on a real file, what is chosen from it, and reading through the page
// cache where O_DIRECT is refused.

import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import Memory
import TestSupport
import Testing

@Suite struct DriveProbeTests {
    /// How fast the drive is decides which kinds are measured; none that does not fit is.
    @Test func kindsThatFitAreMeasured() throws {
        try withTemporaryDirectory { directory in
            let path = try makeFile(in: directory, byteCount: 9 << 20)
            let profile = try #require(
                try DriveProbe.measure(paths: [path], options: FlashOptions(), in: .unlimited()))
            #expect(profile.speeds.allSatisfy { $0.bytesPerSecond > 0 })
            #expect(profile.speeds.allSatisfy { $0.readBytes * $0.depth <= profile.memoryBytes })
            #expect(profile.speeds.allSatisfy { $0.pattern != .across })
            #expect(profile.speeds.contains { $0.pattern == .scattered })
            #expect(profile.bytesPerSecondSustained > 0)
            #expect(profile.memoryBytes == 16 << 20)
            let kinds = profile.speeds.map { "\($0.pattern) \($0.readBytes) \($0.depth)" }
            #expect(Set(kinds).count == kinds.count)
            #expect(
                profile.speeds.contains {
                    $0.readBytes == profile.choice.readBytes && $0.depth == profile.choice.depth
                })
        }
    }

    /// The second file is shorter than the longest reads, the third than the shortest.
    @Test func readsGoAcrossFiles() throws {
        try withTemporaryDirectory { directory in
            let files = try [(9 << 20, "a"), (192 << 10, "b"), (4096, "c")].map {
                try makeFile(in: directory, byteCount: $0.0, name: $0.1)
            }
            let profile = try #require(
                try DriveProbe.measure(
                    paths: files, options: FlashOptions(), in: .unlimited(), memoryBytes: 512 << 10)
            )
            #expect(profile.speeds.contains { $0.pattern == .across })
            #expect(profile.speeds.allSatisfy { $0.readBytes * $0.depth <= 512 << 10 })
            #expect(profile.memoryBytes == 512 << 10)
        }
    }

    @Test func aTinyFileHasNoProfile() throws {
        try withTemporaryDirectory { directory in
            let tiny = try makeFile(in: directory, byteCount: 4096)
            #expect(
                try DriveProbe.measure(paths: [tiny], options: FlashOptions(), in: .unlimited())
                    == nil)
            let file = try makeFile(in: directory, byteCount: 1 << 20)
            #expect(
                try DriveProbe.measure(
                    paths: [file], options: FlashOptions(), in: .unlimited(), memoryBytes: 127 << 10
                ) == nil)
            #expect(throws: FlashError.self) {
                try DriveProbe.measure(
                    paths: ["/nowhere"], options: FlashOptions(), in: .unlimited())
            }
        }
    }

    /// A drive that returns what the page cache does not have.
    @Test func wrongBytesAreFound() throws {
        try withTemporaryDirectory { directory in
            let path = try makeFile(in: directory, byteCount: 2 << 20)
            let script = FaultScript()
            script.arm(.flippedBit, count: 1 << 30)
            var options = FlashOptions()
            options.interposer = { FaultyQueue($0, arena: $1, script: script) }
            do throws(FlashError) {
                _ = try DriveProbe.measure(
                    paths: [path], options: options, in: .unlimited())
                Issue.record("wrong bytes were not noticed")
            } catch {
                guard case .read(let failure) = error else { throw error }
                #expect(failure.cause == .directReadDiffers && failure.file == path)
            }
            script.arm(.error(EIO), at: 3)
            #expect(throws: FlashError.self) {
                try DriveProbe.measure(
                    paths: [path], options: options, in: .unlimited())
            }
        }
    }

    /// A file system that accepts O_DIRECT and goes through the page cache all the same: here, one
    /// whose pages are there after a direct read and were not before.
    @Test func directReadsThatFillThePageCacheAreNone() throws {
        try withTemporaryDirectory { directory in
            let path = try makeFile(in: directory, byteCount: 1 << 20)
            guard try FlashFile.supportsDirectReads(path: path) else {
                print("skipped: the temporary directory's file system has no direct reads")
                return
            }
            var looks = 0
            let fills = try FlashFile.supportsDirectReads(path: path) { _, _, _ in
                looks += 1
                return looks % 2 == 0
            }
            #expect(!fills && looks == 6)
            // Where the kernel does not say, what works is believed.
            #expect(try FlashFile.supportsDirectReads(path: path) { _, _, _ in nil })
            // One page that another program read just then proves nothing.
            looks = 0
            let isShared = try FlashFile.supportsDirectReads(path: path) { _, _, _ in
                looks += 1
                return looks == 2
            }
            #expect(isShared)
        }
    }

    /// Memory is no drive, and is not measured as one.
    @Test func filesInMemoryAreReadAndNotMeasured() throws {
        let folder = "/dev/shm/sluice-probe-\(getpid())"
        guard (try? FileSystem.createDirectory(folder)) != nil else {
            print("skipped: no /dev/shm")
            return
        }
        defer { _ = unsafe rmdir(folder) }
        let path = try makeFile(in: folder, byteCount: 1 << 20)
        defer { _ = unsafe unlink(path) }
        guard try FileDescriptor(path: path, mode: .read).isInMemory else {
            print("skipped: /dev/shm is no tmpfs")
            return
        }
        #expect(try !FlashFile.supportsDirectReads(path: path))
        do throws(FlashError) {
            _ = try DriveProbe.measure(paths: [path], options: FlashOptions(), in: .unlimited())
            Issue.record("memory was measured as a drive")
        } catch {
            guard case .read(let failure) = error else { throw error }
            #expect(failure.cause == .inMemory && failure.file == path)
        }
    }

    private static func choice(_ speeds: [DriveSpeed]) -> [Int] {
        let profile = DriveProfile(
            readerKind: "io_uring", isDirect: true, speeds: speeds, bytesPerSecondSustained: 1,
            memoryBytes: 16 << 20)
        return [profile.choice.readBytes >> 10, profile.choice.depth]
    }

    @Test func theChoiceKeepsTheDriveBusy() {
        // The fastest, alone, would leave the drive idle while its reader computes.
        #expect(
            Self.choice([speed(4096, 1, 4200), speed(1024, 8, 4100), speed(1024, 16, 4150)])
                == [1024, 8])
        // A memory card: one read after another is all it can do, a second in flight hides the gap.
        #expect(
            Self.choice([speed(256, 1, 40), speed(256, 2, 40), speed(256, 8, 40)]) == [256, 2])
        // Fewer bytes in flight, but slower.
        #expect(
            Self.choice([speed(512, 4, 800), speed(512, 8, 1000), speed(512, 16, 1001)])
                == [512, 8])
        // The same bytes in fewer reads.
        #expect(Self.choice([speed(256, 32, 1000), speed(1024, 8, 1000)]) == [1024, 8])
        // Short reads cost the processor, unless long ones are slow.
        #expect(Self.choice([speed(64, 32, 500), speed(256, 8, 490)]) == [256, 8])
        #expect(Self.choice([speed(64, 32, 500), speed(256, 8, 300)]) == [64, 32])
        // What reads across files do counts as much; what forward reads do does not.
        #expect(
            Self.choice([
                speed(256, 8, 500), speed(256, 8, 100, .across), speed(256, 32, 450),
                speed(256, 32, 450, .across), speed(1024, 8, 900, .forward)
            ]) == [256, 32])
        #expect(Self.choice([speed(1024, 1, 100, .forward)]) == [1024, 1])
    }

    /// Small reads tell what a read costs; they are never what weights are read in.
    @Test func smallReadsSayWhatAReadCosts() {
        func gap(_ speeds: [DriveSpeed], isPaced: Bool = false) -> Int {
            DriveProfile(
                readerKind: "io_uring", isDirect: true, speeds: speeds,
                bytesPerSecondSustained: 1, isPaced: isPaced, memoryBytes: 16 << 20
            ).gapBytes
        }
        // Half as fast as the fastest: a read costs as much as its own bytes.
        #expect(gap([speed(64, 32, 500), speed(1024, 8, 1000)]) == 64 << 10)
        // The smallest that was measured counts, at its best depth.
        let small = [
            speed(4, 8, 50), speed(4, 32, 125), speed(64, 32, 500), speed(1024, 8, 1000)
        ]
        #expect(gap(small) == 7 * 4096)
        #expect(gap(small, isPaced: true) == 0)
        #expect(gap([speed(64, 1, 500, .forward)]) == 0)
        #expect(gap([speed(4, 32, 1000), speed(1024, 8, 1000)]) == 0)
        // What a damaged file may say.
        #expect(gap([speed(4, 32, 1e-300), speed(1024, 8, 1e9)]) == 1 << 30)
        #expect(Self.choice([speed(4, 32, 5000), speed(256, 8, 500)]) == [256, 8])
        #expect(Self.choice([speed(4, 32, 5000)]) == [4, 32])
    }

    @Test func aPacedDriveIsAsFastAsItsPace() {
        func profile(isPaced: Bool) -> DriveProfile {
            DriveProfile(
                readerKind: "pread", isDirect: false, speeds: [speed(256, 2, 4000)],
                bytesPerSecondSustained: 300e6, isPaced: isPaced, memoryBytes: 1 << 20)
        }
        #expect(profile(isPaced: true).bytesPerSecondMax == 300e6)
        #expect(profile(isPaced: false).bytesPerSecondMax == 4000e6)
    }

    /// Without O_DIRECT the bytes are the same, and none of the file stays in the page cache.
    @Test(arguments: [ReaderChoice.ring, .threads])
    func bufferedReadsLeaveNoPagesBehind(kind: ReaderChoice) throws {
        try withTemporaryDirectory { directory in
            let byteCount = 4 << 20
            let path = try makeFile(in: directory, byteCount: byteCount)
            var options = FlashOptions()
            options.reader = kind
            options.mayReadDirectly = false
            options.pieceBytesMax = 64 << 10
            let arena = try MemoryArena(byteCount: byteCount)
            let reader = try FlashFile.reader(path: path, arena: arena, options: options)
            try reader.submit(
                FlashRequest(
                    FlashTicket(rawValue: 0), fileOffset: 0, byteCount: byteCount, arenaOffset: 0))
            let completion = try #require(try reader.next(waiting: true))
            #expect(completion.failure == nil)
            let bytes = arena.bytes(at: 0, byteCount: byteCount)
            for offset in stride(from: 0, to: byteCount, by: 4096) {
                let value = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt32.self)
                #expect(value == UInt32(offset))
            }
            #expect(try cachedPages(of: path, byteCount: byteCount) < 64)
        }
    }

    /// A file whose every 4 bytes say where they are; written out, and not in the page cache.
    private func makeFile(
        in directory: String, byteCount: Int, name: String = "weights"
    ) throws -> String {
        let path = "\(directory)/\(name)"
        let file = try FileDescriptor(path: path, mode: .create)
        let words = (0..<byteCount / 4).map { UInt32($0 * 4) }
        try unsafe file.write(words.span.bytes, at: 0)
        try file.synchronize()
        file.dropPages(offset: 0, byteCount: UInt64(byteCount), writesFirst: true)
        return path
    }

    /// mincore(2).
    private func cachedPages(of path: String, byteCount: Int) throws -> Int {
        let file = try FileDescriptor(path: path, mode: .read)
        let map = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, file.rawValue, 0)
        let start = try unsafe #require(map)
        defer { _ = unsafe munmap(start, byteCount) }
        var pages = [UInt8](repeating: 0, count: byteCount / 4096)
        let status = unsafe mincore(start, byteCount, &pages)
        #expect(status == 0)
        return pages.count { $0 & 1 == 1 }
    }
}

private func speed(
    _ kibibytes: Int, _ depth: Int, _ speed: Double,
    _ pattern: DriveSpeed.Pattern = .scattered
) -> DriveSpeed {
    DriveSpeed(
        pattern: pattern, readBytes: kibibytes << 10, depth: depth, bytesPerSecond: speed * 1e6)
}
