// Imports of what arrives front to back: the same bytes as from a file, in little memory, and a
// reason where it cannot be.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Synchronization
import TestSupport
import Testing

/// Bytes that come in pieces of any size, as a pipe has them.
final class PiecewiseStream: ByteStream {
    let name: String
    let byteCount: UInt64?
    private let bytes: [UInt8]
    private let state: Mutex<(place: Int, random: SplitMix)>
    private let failsAt: Int?

    init(
        _ bytes: [UInt8], name: String = "stream", knowsLength: Bool = false, seed: UInt64 = 1,
        failsAt: Int? = nil
    ) {
        self.bytes = bytes
        self.name = name
        self.failsAt = failsAt
        byteCount = knowsLength ? UInt64(bytes.count) : nil
        state = Mutex((0, SplitMix(seed: seed)))
    }

    func read(into buffer: inout MutableRawSpan) throws(PackingError) -> Int {
        let room = buffer.byteCount
        let piece = state.withLock { state -> Range<Int> in
            let most = [1, 7, 4096, 100_000][Int(state.random.next() % 4)]
            let count = min(room, most, bytes.count - state.place)
            defer { state.place += count }
            return state.place..<state.place + count
        }
        if let failsAt, piece.upperBound > failsAt { throw .cancelled }
        for (index, place) in piece.enumerated() {
            buffer.storeBytes(of: bytes[place], toByteOffset: index, as: UInt8.self)
        }
        return piece.count
    }
}

@Suite struct StreamedImportTests {
    private static let fixtures =
        FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        + "/Tests/Fixtures/models"

    static let models = ((try? FileSystem.names(in: fixtures)) ?? [])
        .filter { $0.hasSuffix(".gguf") }

    /// What a file's import and a stream's make of the same bytes.
    private func bothWays(
        _ bytes: [UInt8], neurons: NeuronPacking? = nil, activation: Activation? = nil,
        knowsLength: Bool = false, seed: UInt64 = 1
    ) throws -> (file: [UInt8], stream: [UInt8]) {
        let (first, second) = (try TemporaryDirectory(), try TemporaryDirectory())
        try first.write(bytes, to: "m.gguf")
        let fromFile = try ImportJob(
            sourcePath: first.file("m.gguf"), libraryDirectory: first.path,
            activation: activation, neurons: neurons)
        let file = try fromFile.run(processID: getpid())
        let fromStream = try ImportJob(
            sourcePath: "m.gguf", libraryDirectory: second.path, activation: activation,
            neurons: neurons)
        let stream = try fromStream.run(
            PiecewiseStream(bytes, knowsLength: knowsLength, seed: seed), openPart: nil,
            processID: getpid())
        #expect(stream.sourceBytes == UInt64(bytes.count))
        #expect(stream.requantizations == file.requantizations)
        #expect(try second.names() == ["m.sluice"])
        return (try #require(fileBytes(file.path)), try #require(fileBytes(stream.path)))
    }

    @Test func thereAreModels() { #expect(Self.models.count > 50) }

    /// Every type that is stored in another format.
    @Test func requantizedTypesAreTheSame() throws {
        let path = "\(Self.fixtures)/../packing/requantized.gguf"
        let (file, stream) = try bothWays(try #require(fileBytes(path)), seed: 3)
        let isSame = file == stream
        #expect(isSame)
    }

    @Test(arguments: models)
    func streamsAndFilesGiveTheSameBytes(model: String) throws {
        let bytes = try #require(fileBytes("\(Self.fixtures)/\(model)"))
        let (file, stream) = try bothWays(bytes, seed: UInt64(bytes.count))
        let isSame = file == stream
        #expect(isSame)
    }

    /// Columns of every kind: plain, with scales apart, re-quantised; gates or none; more rows than
    /// are turned at once.
    @Test(arguments: ["f32", "f16", "q8_0", "q4_0", "q4_K", "q6_K"], ["llama", "arcee"])
    func neuronsAreTheSame(format: String, family: String) throws {
        let format = try #require(WeightFormat(rawValue: format))
        let tiny = TinyModel(architecture: family).with(format)
        for packing in [NeuronPacking.bundled, .whole] {
            for activation in [Activation.relu, nil] {
                let (file, stream) = try bothWays(
                    tiny.gguf(), neurons: packing,
                    activation: family == "arcee" ? activation : nil, knowsLength: true)
                let isSame = file == stream
                #expect(isSame)
            }
        }
    }

    /// Order, padding and what nobody wants do not matter.
    @Test func anyOrderOfTensorsIsTaken() throws {
        var tiny = TinyModel(drafts: 1, experts: 3, splitExperts: true)
        tiny.extraTensors = [("blk.2.attn_q.weight", [64, 1600], .f32)]
        let (file, stream) = try bothWays(tiny.gguf() + [UInt8](repeating: 7, count: 100_001))
        let isSame = file == stream
        #expect(isSame)
    }

    @Test func cutStreamsAreToldAndLeaveNothing() throws {
        let bytes = TinyModel().gguf()
        for length in [0, 3, 100, 1000, bytes.count / 2, bytes.count - 40] {
            let directory = try TemporaryDirectory()
            let job = try ImportJob(sourcePath: "m.gguf", libraryDirectory: directory.path)
            let error = #expect(throws: PackingError.self) {
                try job.run(
                    PiecewiseStream(Array(bytes.prefix(length))), openPart: nil,
                    processID: getpid())
            }
            let text = try #require(error).description
            #expect(text.contains("stream") && text.contains("\(length)"), "\(text)")
            #expect(try directory.names() == [])
        }
    }

    @Test func failuresOfTheStreamAreTheImports() throws {
        let bytes = TinyModel().gguf()
        for place in [10, bytes.count / 2, bytes.count - 1] {
            let directory = try TemporaryDirectory()
            let job = try ImportJob(sourcePath: "m.gguf", libraryDirectory: directory.path)
            #expect(throws: PackingError.cancelled) {
                try job.run(
                    PiecewiseStream(bytes, failsAt: place), openPart: nil, processID: getpid())
            }
            #expect(try directory.names() == [])
        }
    }

    @Test func onePartOfSeveralIsRefused() throws {
        let tiny = TinyModel(addMetadata: {
            $0.add("split.no", UInt32(0))
            $0.add("split.count", UInt32(3))
        })
        let directory = try TemporaryDirectory()
        let job = try ImportJob(sourcePath: "m.gguf", libraryDirectory: directory.path)
        #expect(throws: PackingError.pipedPart(name: "stream", count: 3)) {
            try job.run(PiecewiseStream(tiny.gguf()), openPart: nil, processID: getpid())
        }
    }
}
