// Imports that consume their source: the same packed file, however often they are ended, and no
// moment at which a weight is nowhere.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Synchronization
import TestSupport
import Testing

@Suite struct ConsumingImportTests {
    private static let fixtures =
        FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        + "/Tests/Fixtures"

    /// A source in a folder of its own, and what an import makes of it.
    private struct Setting {
        let source: TemporaryDirectory
        let library: TemporaryDirectory
        let expected: [UInt8]
        let job: ImportJob

        init(_ parts: [(name: String, bytes: [UInt8])], neurons: NeuronPacking? = nil) throws {
            source = try TemporaryDirectory()
            library = try TemporaryDirectory()
            for part in parts { try source.write(part.bytes, to: part.name) }
            let other = try TemporaryDirectory()
            let path = source.file(parts[0].name)
            let reference = try ImportJob(
                sourcePath: path, libraryDirectory: other.path, name: "m", neurons: neurons)
            expected = try #require(fileBytes(try reference.run(processID: getpid()).path))
            job = try ImportJob(
                sourcePath: path, libraryDirectory: library.path, name: "m", neurons: neurons)
        }

        func isDone() throws -> Bool {
            try source.names() == [] && library.names() == ["m.sluice"]
                && fileBytes(library.file("m.sluice")) == expected
        }
    }

    private func fixture(_ name: String) throws -> (name: String, bytes: [UInt8]) {
        (FileSystem.name(of: name), try #require(fileBytes("\(Self.fixtures)/\(name)")))
    }

    @Test(arguments: [
        "models/qwen3moe.gguf", "models/gpt-oss-mxfp4.gguf", "models/qwen3next.gguf",
        "models/llama-relu-q8_0.gguf", "packing/requantized.gguf"
    ])
    func consumedSourcesGiveTheSameBytes(path: String) throws {
        for pieceBytes in [1, 20_000, nil] {
            let setting = try Setting([fixture(path)])
            let result = try setting.job.runConsuming(pieceBytes: pieceBytes)
            #expect(result.packedBytes == UInt64(setting.expected.count))
            #expect(try setting.isDone(), "\(path) in pieces of \(pieceBytes ?? 0)")
        }
    }

    @Test func allPartsAreConsumed() throws {
        let parts = try (1...3).map { try fixture("gguf/tiny-split-0000\($0)-of-00003.gguf") }
        for pieceBytes in [1, 5000, nil] {
            let setting = try Setting(parts)
            _ = try setting.job.runConsuming(pieceBytes: pieceBytes)
            #expect(try setting.isDone())
        }
    }

    /// Ended after any number of steps, again and again: what is left goes on, and a part of a
    /// source is never taken for a model.
    @Test(arguments: ["models/qwen3moe.gguf", "models/llama-relu-q8_0.gguf"])
    func endedImportsGoOn(path: String) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        let setting = try Setting([fixture(path)])
        let name = FileSystem.name(of: path)
        var ended = 0
        while true {
            let steps = 1 + Int(random.next() % 12)
            let asked = Atomic<Int>(0)
            let observer = PackingObserver(isCancelled: {
                asked.add(1, ordering: .relaxed).newValue > steps
            })
            do {
                _ = try setting.job.runConsuming(observer: observer, pieceBytes: 1)
                break
            } catch {
                ended += 1
                let isBegun =
                    fileBytes(setting.source.file(name))?.prefix(4) == Array("CONS".utf8)[...]
                #expect(error == (isBegun ? .unfinished(.cancelled) : .cancelled), "seed \(seed)")
                #expect(try setting.library.names().filter { !$0.hasPrefix(".") } == [])
                if isBegun {
                    let plain = #expect(throws: PackingError.self) {
                        try setting.job.run(processID: getpid())
                    }
                    #expect(plain?.description.contains("the same command, as it was") == true)
                } else {
                    #expect(try setting.library.names() == [], "seed \(seed)")
                }
            }
            try #require(ended < 500, "seed \(seed)")
        }
        #expect(try setting.isDone(), "seed \(seed)")
    }

    /// Without what was made of the part that is gone, nothing is made of the rest.
    @Test(arguments: [".m.sluice.consuming", ".m.sluice.consuming.journal"])
    func lostWorkIsTold(file: String) throws {
        let setting = try Setting([fixture("models/qwen3moe.gguf")])
        let asked = Atomic<Int>(0)
        let observer = PackingObserver(isCancelled: {
            asked.add(1, ordering: .relaxed).newValue > 40
        })
        #expect(throws: PackingError.unfinished(.cancelled)) {
            try setting.job.runConsuming(observer: observer, pieceBytes: 1)
        }
        let kept = try #require(fileBytes(setting.library.file(file)))
        let isJournal = file.hasSuffix("journal")
        if !isJournal {
            try FileSystem.remove(setting.library.file(file))
            #expect(throws: PackingError.self) { try setting.job.runConsuming(pieceBytes: 1) }
            #expect(try setting.source.names() == ["qwen3moe.gguf"])
        }
        // A journal that lacks its end is none.
        try setting.library.write(Array(kept.dropLast()), to: file)
        if isJournal {
            #expect(throws: PackingError.self) { try setting.job.runConsuming(pieceBytes: 1) }
            #expect(try setting.source.names() == ["qwen3moe.gguf"])
            try setting.library.write(kept, to: file)
            _ = try setting.job.runConsuming(pieceBytes: 1)
            #expect(try setting.isDone())
        }
    }

    /// Another source under the same name must not take the place of what the first became.
    @Test func unfinishedImportsKeepTheirName() throws {
        let setting = try Setting([fixture("models/qwen3moe.gguf")])
        let asked = Atomic<Int>(0)
        let observer = PackingObserver(isCancelled: {
            asked.add(1, ordering: .relaxed).newValue > 40
        })
        #expect(throws: PackingError.unfinished(.cancelled)) {
            try setting.job.runConsuming(observer: observer, pieceBytes: 1)
        }
        try setting.source.write(fixture("models/llama.gguf").bytes, to: "other.gguf")
        let other = try ImportJob(
            sourcePath: setting.source.file("other.gguf"), libraryDirectory: setting.library.path,
            name: "m")
        let error = #expect(throws: PackingError.self) { try other.runConsuming() }
        #expect(error?.description.contains("finish that first") == true)
        try FileSystem.remove(setting.source.file("other.gguf"))
        _ = try setting.job.runConsuming(pieceBytes: 1)
        #expect(try setting.isDone())
    }

    /// An import that had only the deleting left to do.
    @Test func whatIsPackedIsNotPackedAgain() throws {
        let setting = try Setting([fixture("models/qwen3moe.gguf")])
        _ = try setting.job.runConsuming(pieceBytes: 1)
        // As if it had been ended before: the source is back, marked, and so is a journal.
        var source = try fixture("models/qwen3moe.gguf").bytes
        source.replaceSubrange(0..<4, with: Array("CONS".utf8))
        try setting.source.write(source, to: "qwen3moe.gguf")
        try setting.library.write([0], to: ".m.sluice.consuming.journal")
        let result = try setting.job.runConsuming()
        #expect(result.packedBytes == UInt64(setting.expected.count))
        #expect(try setting.isDone())
    }

    @Test func sourcesWithOtherOwnersAreLeftAlone() throws {
        let setting = try Setting([fixture("models/qwen3moe.gguf")])
        let path = setting.source.file("qwen3moe.gguf")
        try #require(unsafe link(path, setting.source.file("other.gguf")) == 0)
        #expect(throws: PackingError.unconsumable(path, "it has another name, too (a hard link)")) {
            try setting.job.runConsuming()
        }
        try FileSystem.remove(setting.source.file("other.gguf"))
        try #require(unsafe symlink(path, setting.source.file("link.gguf")) == 0)
        let linked = try ImportJob(
            sourcePath: setting.source.file("link.gguf"), libraryDirectory: setting.library.path)
        let error = #expect(throws: PackingError.self) { try linked.runConsuming() }
        #expect(error?.description.contains("it is a link; name the file itself") == true)
        let taken = try FileDescriptor(path: path, mode: .readWrite)
        #expect(try taken.lockForThisProcess())
        #expect(throws: PackingError.unconsumable(path, "another import is at it")) {
            try setting.job.runConsuming()
        }
        #expect(try setting.library.names() == [])
        #expect(fileBytes(path)?.count == 458_368)
    }
}
