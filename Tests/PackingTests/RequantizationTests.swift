// Types that no kernel computes with: decoded as the gguf package decodes them, bit for bit, and
// stored in the nearest format, with errors that are bounded, told and the same each time. Fixtures
// are made by Tests/Fixtures/packing/make_packing_fixtures.py.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Synchronization
import Testing

struct RequantizationTests {
    private static let folder =
        FileSystem.parent(of: FileSystem.parent(of: #filePath)) + "/Fixtures/packing"

    static let types = GGUFType.all.filter { $0.format == nil }

    /// Greatest relative error that a type's numbers may have once they are stored.
    static let bounds: [String: Double] = [
        "iq2_xxs": 0.012, "iq2_xs": 0.012, "iq2_s": 0.012, "iq3_xxs": 0.012, "iq1_m": 0.012,
        "nvfp4": 0.012, "iq1_s": 0.001, "iq3_s": 0.001, "q8_K": 0.0002, "f64": 0.000_001
    ]

    @Test(arguments: types) func decodesAsTheReferenceDoes(type: GGUFType) throws {
        let source = try FileByteSource(path: "\(Self.folder)/decode_\(type.name.lowercased()).bin")
        let bytes = try contents(source)
        func word(_ at: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) }
        }
        let end = 4 + Int(word(0)) * type.blockBytes
        let decoded = Conversion.decode(type, Array(bytes[4..<end]))
        #expect(decoded.count == (bytes.count - end) / 4 && !decoded.isEmpty)
        for (index, value) in decoded.enumerated() {
            let expected = word(end + index * 4)
            let same =
                value.bitPattern == expected || value.isNaN && Float(bitPattern: expected).isNaN
            #expect(same, "element \(index): \(value), not \(Float(bitPattern: expected))")
        }
    }

    @Test func everyTypeIsRecordedWithItsError() throws {
        let directory = try TemporaryDirectory()
        let job = try ImportJob(
            sourcePath: "\(Self.folder)/requantized.gguf", libraryDirectory: directory.path,
            name: "first")
        let result = try job.run(processID: getpid())
        let source = try FileByteSource(path: result.path)
        let model = try PackedModel(source: source)
        try PackedVerifier.verify(model, source: source)
        let entries = try #require(model.manifest.requantizations)
        #expect(entries == result.requantizations)
        #expect(entries.map(\.sentence) == model.manifest.conversions)
        let named = Set(entries.map(\.type))
        #expect(named == Set(Self.types.map(\.name)).subtracting(["q2_0"]))
        for entry in entries {
            let bound = Self.bounds[entry.type] ?? 0
            #expect(entry.relativeErrorMax <= bound, "\(entry.sentence)")
            #expect(entry.relativeError <= entry.relativeErrorMax, "\(entry.sentence)")
        }
        #expect(entries.first { $0.type == "iq2_xxs" }?.tensorCount == 2)
        let exact = try #require(entries.first { $0.type == "tq2_0" })
        #expect(
            exact.sentence == "blk.0.ffn_down.weight: tq2_0 is stored as q2_K, exactly",
            "\(exact.sentence)")
    }

    @Test func equalImportsAreEqualBytes() throws {
        let directory = try TemporaryDirectory()
        let all = try (0..<3).map { number in
            let job = try ImportJob(
                sourcePath: "\(Self.folder)/requantized.gguf", libraryDirectory: directory.path,
                name: "copy-\(number)")
            return try contents(FileByteSource(path: job.run(processID: getpid()).path))
        }
        #expect(all[0] == all[1] && all[1] == all[2])
    }

    @Test func twoImportsOfOneNameMakeOneModel() throws {
        let directory = try TemporaryDirectory()
        let job = try ImportJob(
            sourcePath: "\(Self.folder)/requantized.gguf", libraryDirectory: directory.path,
            name: "same")
        let outcomes = Mutex<(successes: Int, failures: [PackingError])>((0, []))
        let threads = try (0..<2).map { _ in
            try Thread {
                do throws(PackingError) {
                    _ = try job.run(processID: getpid())
                    outcomes.withLock { $0.successes += 1 }
                } catch {
                    outcomes.withLock { $0.failures.append(error) }
                }
            }
        }
        for thread in threads { thread.join() }
        let found = outcomes.withLock { $0 }
        #expect(found.successes == 1)
        #expect(found.failures == [.exists(job.destination)])
        #expect(try directory.names() == ["same.sluice"])
    }
}
