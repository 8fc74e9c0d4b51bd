// Imports of what can be asked for again, ended at any byte: the same import goes on, and makes
// what an import of the file makes; of another source, it begins anew.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Synchronization
import TestSupport
import Testing

/// Bytes of which any part can be had.
private final class PlaceableStream: ByteStream {
    let name: String
    private let bytes: [UInt8]
    private let identity: String
    private let failsAt: Int
    private let error: PackingError
    private let state = Mutex((place: 0, served: 0, jumps: [Int]()))
    private let onRead: @Sendable () -> Void

    init(
        _ part: (name: String, bytes: [UInt8]), identity: String = "same", failsAt: Int = .max,
        error: PackingError = .cancelled, onRead: @escaping @Sendable () -> Void = {}
    ) {
        (name, bytes) = part
        (self.identity, self.failsAt, self.error) = (identity, failsAt, error)
        self.onRead = onRead
    }

    var byteCount: UInt64? { UInt64(bytes.count) }
    var served: Int { state.withLock { $0.served } }
    /// Where it was gone on from.
    var jumps: [Int] { state.withLock { $0.jumps } }

    func read(into buffer: inout MutableRawSpan) throws(PackingError) -> Int {
        onRead()
        let room = buffer.byteCount
        let piece = state.withLock { state -> Range<Int> in
            let count = min(room, 10_000, bytes.count - state.place)
            defer {
                state.place += count
                state.served += count
            }
            return state.place..<state.place + count
        }
        if piece.upperBound > failsAt { throw error }
        for (index, place) in piece.enumerated() {
            buffer.storeBytes(of: bytes[place], toByteOffset: index, as: UInt8.self)
        }
        return piece.count
    }

    var mark: StreamMark? {
        StreamMark(identity: Array("\(name) \(identity)".utf8), state: [1, 2, 3])
    }

    func goOn(from bytes: [UInt8], at place: UInt64) -> Bool {
        guard bytes == [1, 2, 3] else { return false }
        state.withLock { state in
            state.place = Int(place)
            state.jumps.append(Int(place))
        }
        return true
    }
}

@Suite struct ResumptionTests {
    private static let fixtures =
        FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        + "/Tests/Fixtures"

    private struct Setting {
        let library: TemporaryDirectory
        let parts: [(name: String, bytes: [UInt8])]
        let expected: [UInt8]
        let job: ImportJob

        init(_ paths: [String], neurons: NeuronPacking? = nil) throws {
            parts = try paths.map { path in
                (FileSystem.name(of: path), try #require(fileBytes("\(fixtures)/\(path)")))
            }
            library = try TemporaryDirectory()
            let other = try TemporaryDirectory()
            for part in parts { try other.write(part.bytes, to: part.name) }
            let reference = try ImportJob(
                sourcePath: other.file(parts[0].name), libraryDirectory: other.path, name: "m",
                neurons: neurons)
            expected = try #require(fileBytes(try reference.run(processID: getpid()).path))
            job = try ImportJob(
                sourcePath: parts[0].name, libraryDirectory: library.path, name: "m",
                neurons: neurons)
        }

        /// - Returns: the streams, and why it ended; nil where it did not.
        func run(
            pieceBytes: Int, program: String = "1", stream: (Int) -> PlaceableStream
        ) throws -> (streams: [PlaceableStream], error: PackingError?) {
            let streams = parts.indices.map(stream)
            do throws(PackingError) {
                _ = try job.run(
                    streams[0],
                    openPart: { (name) throws(PackingError) in
                        guard let other = streams.first(where: { $0.name == name }) else {
                            throw .cancelled
                        }
                        return other
                    }, processID: getpid(), program: program, pieceBytes: pieceBytes)
                return (streams, nil)
            } catch {
                return (streams, error)
            }
        }

        func isDone() throws -> Bool {
            try library.names() == ["m.sluice"] && fileBytes(library.file("m.sluice")) == expected
        }
    }

    /// Ended again and again, a little further each time.
    @Test(arguments: [
        "models/qwen3moe.gguf", "models/gpt-oss-mxfp4.gguf", "models/qwen3next.gguf",
        "models/llama-relu-q8_0.gguf", "packing/requantized.gguf", "models/deepseek2.gguf"
    ])
    func endedImportsGoOn(path: String) throws {
        for pieceBytes in [1, 20_000] {
            let setting = try Setting([path])
            let count = setting.parts[0].bytes.count
            var places: [Int] = []
            for failsAt in stride(from: count / 7, to: count, by: count / 7 + 1) {
                let ended = try setting.run(pieceBytes: pieceBytes) {
                    PlaceableStream(setting.parts[$0], failsAt: failsAt)
                }
                places += ended.streams[0].jumps
                #expect(ended.error != nil && ended.error != .cancelled || places.isEmpty)
                #expect(!setting.library.contains("m.sluice"))
            }
            let last = try setting.run(pieceBytes: pieceBytes) {
                PlaceableStream(setting.parts[$0])
            }
            places += last.streams[0].jumps
            #expect(last.error == nil && places == places.sorted() && !places.isEmpty)
            #expect(last.streams[0].served < count, "\(path)")
            #expect(try setting.isDone(), "\(path) in pieces of \(pieceBytes)")
        }
    }

    @Test func laterPartsGoOn() throws {
        let names = (1...3).map { "gguf/tiny-split-0000\($0)-of-00003.gguf" }
        let setting = try Setting(names)
        for part in [0, 1, 2, 2] {
            let ended = try setting.run(pieceBytes: 1) { index in
                let bytes = setting.parts[index].bytes.count
                return PlaceableStream(
                    setting.parts[index], failsAt: index == part ? bytes - 1 : .max)
            }
            #expect(ended.error != nil)
        }
        let last = try setting.run(pieceBytes: 1) { PlaceableStream(setting.parts[$0]) }
        #expect(last.error == nil)
        #expect(try setting.isDone())
    }

    @Test func othersBeginAnew() throws {
        let path = "models/qwen3moe.gguf"
        let file = ".m.sluice.arriving"
        for change in ["identity", "record", "file", "fingerprint", "program"] {
            let setting = try Setting([path])
            let count = setting.parts[0].bytes.count
            let ended = try setting.run(pieceBytes: 1) {
                PlaceableStream(setting.parts[$0], failsAt: count / 2)
            }
            #expect(ended.error?.description.contains("'sluice rm m' drops it") == true)
            let left = try setting.library.names()
            #expect(left == [file, file + ".journal"])
            var part = setting.parts[0]
            switch change {
            case "record":
                var bytes = try #require(fileBytes(setting.library.file(file + ".journal")))
                bytes[bytes.count / 2] ^= 1
                try FileSystem.replace(
                    setting.library.file(file + ".journal"), with: bytes, permissions: 0o600)
            case "file": try FileSystem.remove(setting.library.file(file))
            case "fingerprint":
                // The same size, another name within.
                let place = try #require(part.bytes.firstRange(of: Array("general.name".utf8)))
                part.bytes[place.upperBound + 12] ^= 1
            default: break
            }
            let next = PlaceableStream(part, identity: change == "identity" ? "other" : "same")
            let result = try setting.run(
                pieceBytes: 1, program: change == "program" ? "2" : "1"
            ) { _ in next }
            #expect(result.error == nil && next.jumps.isEmpty, "\(change)")
            let isSame = fileBytes(setting.library.file("m.sluice")) == setting.expected
            #expect(isSame == (change != "fingerprint"))
            #expect(try setting.library.names() == ["m.sluice"], "\(change)")
        }
    }

    /// What cannot become right by going on is not kept.
    @Test func wrongSourcesLeaveNothing() throws {
        let setting = try Setting(["models/qwen3moe.gguf"])
        let count = setting.parts[0].bytes.count
        let wrong = PackingError.transfer(address: "a", reason: "it changed", .badData)
        let ended = try setting.run(pieceBytes: 1) {
            PlaceableStream(setting.parts[$0], failsAt: count / 2, error: wrong)
        }
        #expect(ended.error == wrong)
        #expect(try setting.library.names() == [])
    }

    @Test func unfinishedImportsCanBeDropped() throws {
        let setting = try Setting(["models/qwen3moe.gguf"])
        let count = setting.parts[0].bytes.count
        #expect(!ImportJob.discardUnfinished("m", in: setting.library.path))
        _ = try setting.run(pieceBytes: 1) {
            PlaceableStream(setting.parts[$0], failsAt: count / 2)
        }
        #expect(ImportJob.discardUnfinished("m", in: setting.library.path))
        #expect(try setting.library.names() == [])
        #expect(!ImportJob.discardUnfinished("../m", in: setting.library.path))
    }

    /// Two at once do not write one file.
    @Test func twoAtOnceAreApart() throws {
        let setting = try Setting(["models/qwen3moe.gguf"])
        let half = UInt64(setting.parts[0].bytes.count / 2)
        let (other, part) = (setting.job, setting.parts[0])
        let isSecond = Atomic(false)
        let reads = Atomic(0)
        let first = try setting.run(pieceBytes: 20_000) { index in
            PlaceableStream(
                setting.parts[index],
                onRead: {
                    let count = reads.add(1, ordering: .relaxed).newValue
                    guard UInt64(count) * 10_000 > half,
                        !isSecond.exchange(true, ordering: .relaxed)
                    else { return }
                    let stream = PlaceableStream(part)
                    let result = try? other.run(
                        stream, openPart: nil, processID: getpid(), program: "1",
                        pieceBytes: 20_000)
                    #expect(result != nil && stream.jumps.isEmpty)
                })
        }
        let cameToIt = isSecond.load(ordering: .relaxed)
        #expect(cameToIt)
        #expect(first.error == .exists(setting.library.file("m.sluice")))
        #expect(fileBytes(setting.library.file("m.sluice")) == setting.expected)
    }

    @Test func recordsAreReadWholeOrNotAtAll() throws {
        let setting = try Setting(["models/qwen3moe.gguf"])
        _ = try setting.run(pieceBytes: 1) {
            PlaceableStream(setting.parts[$0], failsAt: setting.parts[$0].bytes.count / 2)
        }
        let path = setting.library.file(".m.sluice.arriving.journal")
        let bytes = try #require(fileBytes(path))
        var random = SplitMix(seed: 7)
        for _ in 0..<40 {
            var damaged = bytes
            if random.next() % 2 == 0 {
                damaged.removeLast(1 + Int(random.next() % UInt64(bytes.count)))
            } else {
                damaged[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 + random.next() % 255)
            }
            try FileSystem.replace(path, with: damaged, permissions: 0o600)
            let stream = PlaceableStream(setting.parts[0], failsAt: 200_000)
            _ = try setting.run(pieceBytes: 1 << 30) { _ in stream }
            #expect(stream.jumps.isEmpty)
            // Nothing was recorded since, so nothing is left.
            #expect(try setting.library.names() == [])
            try FileSystem.replace(
                setting.library.file(".m.sluice.arriving"), with: [], permissions: 0o600)
        }
    }
}

extension TemporaryDirectory {
    fileprivate func contains(_ name: String) -> Bool { (try? names().contains(name)) ?? false }
}
