// The drive's measurement on a real file, what is chosen from it, and reading through the page
// cache where O_DIRECT is refused.

import Glibc
import LinuxSystem
import TestSupport
import Testing
import WeightStore

@Suite struct DriveProbeTests {
    @Test func everySizeAndDepthThatFitsIsMeasured() throws {
        try withTemporaryDirectory { directory in
            let path = try makeFile(in: directory, byteCount: 9 << 20)
            let profile = try #require(try DriveProbe.measure(path: path, options: FlashOptions()))
            #expect(profile.speeds.allSatisfy { $0.bytesPerSecond > 0 })
            #expect(Set(profile.speeds.map(\.readBytes)) == Set(DriveProbe.readSizes))
            #expect(Set(profile.speeds.map(\.depth)) == Set(DriveProbe.depths))
            #expect(profile.bytesPerSecondMax >= profile.choice.bytesPerSecond)
        }
    }

    @Test func aTinyFileHasNoProfile() throws {
        try withTemporaryDirectory { directory in
            let path = try makeFile(in: directory, byteCount: 4096)
            #expect(try DriveProbe.measure(path: path, options: FlashOptions()) == nil)
        }
    }

    @Test func theLeastThatIsNearlyTheFastestIsChosen() {
        func speed(_ bytes: Int, _ depth: Int, _ speed: Double) -> DriveSpeed {
            DriveSpeed(
                pattern: .scattered, readBytes: bytes, depth: depth, bytesPerSecond: speed)
        }
        let forward = DriveSpeed(
            pattern: .forward, readBytes: 1, depth: 1, bytesPerSecond: 200)
        let profile = DriveProfile(
            readerKind: "io_uring", isDirect: true,
            speeds: [
                forward, speed(64, 32, 90), speed(128, 4, 94), speed(128, 8, 96), speed(256, 2, 100)
            ])
        #expect(profile.choice == speed(128, 8, 96))
        #expect(profile.bytesPerSecondMax == 200)
    }

    /// Without O_DIRECT the bytes are the same, and none of the file stays in the page cache.
    @Test(arguments: [FlashOptions.Reader.ring, .threads])
    func bufferedReadsLeaveNoPagesBehind(kind: FlashOptions.Reader) throws {
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
                ReadRequest(
                    purpose: .expert(slot: 0), fileOffset: 0, byteCount: byteCount, arenaOffset: 0))
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
    private func makeFile(in directory: String, byteCount: Int) throws -> String {
        let path = "\(directory)/weights"
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
