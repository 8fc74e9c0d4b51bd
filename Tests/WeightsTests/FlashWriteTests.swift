// Writes through the reader over both queues: what is written is read back, several files at once,
// and whatever goes wrong on the way is finished, repeated or said.

import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import TestSupport
import Testing

@Suite struct FlashWriteTests {
    private static let kinds = [ReaderChoice.ring, .threads]
    private static let byteCount = 256 << 10

    /// Extents go to two files, in pieces and at random, and come back from both.
    @Test(arguments: kinds, [true, false])
    func whatIsWrittenIsReadBack(kind: ReaderChoice, isDirect: Bool) throws {
        try withBench(kind, isDirect: isDirect) { bench in
            let second = try bench.register("second")
            for (index, file) in [FileIndex.first, second].enumerated() where file != .first {
                bench.fill(seed: UInt8(index))
                for part in (0..<4).shuffled() { try bench.submit(.write, file, part: part) }
                #expect(try bench.finish() == [])
            }
            bench.fill(seed: 99)
            for part in 0..<4 { try bench.submit(.read, second, part: part) }
            #expect(try bench.finish() == [])
            #expect(bench.holds(seed: 1))
            #expect(bench.reader.statistics.bytesWritten == UInt64(Self.byteCount))
            // The first file was not touched.
            try bench.submit(.read, .first, part: 0)
            #expect(try bench.finish() == [])
            #expect(bench.bytes(0..<4096).allSatisfy { $0 == 0 })
            #expect(try bench.contents("second") == Bench.pattern(seed: 1))
        }
    }

    /// Short, interrupted and refused for now: the same bytes in the end.
    @Test(arguments: kinds, [StorageFault.short, .error(EINTR), .error(EAGAIN)])
    func passingFaultsAreFinished(kind: ReaderChoice, fault: StorageFault) throws {
        try withBench(kind) { bench in
            let file = try bench.register("second")
            for index in 0..<4 {
                bench.fill(seed: UInt8(index))
                bench.script.arm(fault, at: index, count: 3)
                for part in 0..<4 { try bench.submit(.write, file, part: part) }
                #expect(try bench.finish() == [], "at \(index)")
                #expect(bench.script.hasFired)
                #expect(try bench.contents("second") == Bench.pattern(seed: UInt8(index)))
            }
        }
    }

    /// A drive that fails or is full: the request says so, with file and place; others are written.
    @Test(arguments: kinds) func lastingFaultsAreSaid(kind: ReaderChoice) throws {
        try withBench(kind) { bench in
            let file = try bench.register("second")
            bench.fill(seed: 7)
            let path = bench.path("second")
            for (number, words) in [
                (EIO, "write: Input/output error"),
                (ENOSPC, "no room is left on the drive for 65536 bytes"),
                (EDQUOT, "no room is left on the drive for 65536 bytes")
            ] {
                bench.script.arm(.error(number), at: 1)
                for part in 0..<4 { try bench.submit(.write, file, part: part) }
                let failures = try bench.finish()
                #expect(failures.map(\.description) == ["\(path) at byte 65536: \(words)"])
                #expect(failures.allSatisfy { !$0.isDamage && !$0.isDelay })
                bench.script.arm(nil)
                try bench.submit(.write, file, part: 1)
                #expect(try bench.finish() == [])
                #expect(try bench.contents("second") == Bench.pattern(seed: 7))
            }
        }
    }

    /// A write of which nothing is ever taken ends, with an error.
    @Test(arguments: kinds) func nothingWrittenTimeAndAgainEnds(kind: ReaderChoice) throws {
        try withBench(kind) { bench in
            let file = try bench.register("second")
            bench.script.arm(.endOfFile, count: 1000)
            try bench.submit(.write, file, part: 0)
            let failures = try bench.finish()
            #expect(failures.count == 1 && bench.script.reads < 100)
            #expect(failures.first?.description.hasSuffix("write: Input/output error") == true)
        }
    }

    /// The kernel's own answer of a full device.
    @Test(arguments: kinds) func fullDeviceIsSaid(kind: ReaderChoice) throws {
        try withBench(kind) { bench in
            let full = try bench.reader.register(
                FileDescriptor(path: "/dev/full", mode: .readWrite))
            try bench.submit(.write, full, part: 0)
            let failures = try bench.finish()
            #expect(failures.map(\.cause) == [.full(byteCount: 65536)])
            #expect(failures.map(\.file) == ["/dev/full"])
        }
    }

    private func withBench(
        _ kind: ReaderChoice, isDirect: Bool = true, _ body: (Bench) throws -> Void
    ) throws {
        try withTemporaryDirectory { directory in
            let bench: Bench
            do {
                bench = try Bench(directory, kind, isDirect: isDirect, byteCount: Self.byteCount)
            } catch let error as SystemError where error.refusesRing {
                print("skipped: \(error)")
                return
            }
            try body(bench)
        }
    }
}

/// A reader of a file of zeros, over a queue that can be told to fail.
private final class Bench {
    let reader: FlashReader
    let script = FaultScript()
    private let arena: MemoryArena
    private let directory: String
    private let options: FlashOptions
    private static let partBytes = 64 << 10

    init(_ directory: String, _ kind: ReaderChoice, isDirect: Bool, byteCount: Int) throws {
        self.directory = directory
        arena = try MemoryArena(byteCount: byteCount)
        var options = FlashOptions()
        options.reader = kind
        options.mayReadDirectly = isDirect
        options.queueDepth = 3
        options.pieceBytesMax = 64 << 10
        options.interposer = { [script] in FaultyQueue($0, arena: $1, script: script) }
        self.options = options
        try Self.makeFile("\(directory)/first", byteCount: byteCount)
        reader = try FlashFile.reader(path: "\(directory)/first", arena: arena, options: options)
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    func register(_ name: String) throws -> FileIndex {
        try Self.makeFile(path(name), byteCount: arena.byteCount)
        return try FlashFile.register(path: path(name), with: reader, options: options)
    }

    private static func makeFile(_ path: String, byteCount: Int) throws {
        let file = try FileDescriptor(path: path, mode: .createNew)
        try file.write(unsafe [UInt8](repeating: 0, count: byteCount).span.bytes, at: 0)
        try file.synchronize()
    }

    static func pattern(seed: UInt8, byteCount: Int = 256 << 10) -> [UInt8] {
        (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 / 512) &* 31 &+ seed &+ 1 }
    }

    func fill(seed: UInt8) {
        arena.copy(unsafe Self.pattern(seed: seed, byteCount: arena.byteCount).span.bytes, to: 0)
    }

    func holds(seed: UInt8) -> Bool {
        bytes(0..<arena.byteCount) == Self.pattern(seed: seed, byteCount: arena.byteCount)
    }

    func bytes(_ range: Range<Int>) -> [UInt8] {
        let arena = arena
        let bytes = arena.bytes(at: range.lowerBound, byteCount: range.count)
        return (0..<range.count).map {
            unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
        }
    }

    func contents(_ name: String) throws -> [UInt8] {
        try SystemCalls.readFile(path(name), bytesMax: arena.byteCount)
    }

    /// A part of the memory to or from the same part of a file.
    func submit(_ direction: StorageDirection, _ file: FileIndex, part: Int) throws {
        try reader.submit(
            FlashRequest(
                FlashTicket(rawValue: UInt64(part)), direction, file: file,
                fileOffset: UInt64(part * Self.partBytes), byteCount: Self.partBytes,
                arenaOffset: part * Self.partBytes))
    }

    /// Waits for everything.
    func finish() throws -> [ReadFailure] {
        var failures: [ReadFailure] = []
        while reader.requestsInFlight > 0 {
            guard let completion = try reader.next(waiting: true) else { break }
            if let failure = completion.failure { failures.append(failure) }
        }
        return failures
    }
}
