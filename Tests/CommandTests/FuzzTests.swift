// Damaged model files through the real program: status 65 and one line, or success where the damage
// is harmless; never a crash, never more than 64 MB.

import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

@Suite struct FuzzTests {
    private static let seed: UInt64 = 20_262

    @Test(arguments: ["gguf/tiny-v3.gguf", "gguf/tiny-experts.gguf"])
    func damagedSources(name: String) throws {
        print("seed \(Self.seed)")
        let bytes = try #require(fileBytes("\(Repository.fixtures)/\(name)"))
        let fields = GGUFFields(of: bytes)
        let mutations = FileMutator.mutations(
            of: bytes, fields: fields.fields, within: 0..<fields.headerBytes, seed: Self.seed,
            count: 120)
        let scratch = try Scratch()
        var refused = 0
        for (index, mutation) in mutations.enumerated() {
            let path = try scratch.write(mutation.bytes, to: "\(index).gguf")
            let library = scratch.path("library")
            let ending = try Program.sluice.runLimited(
                ["import", path, "--library", library, "--force", "--name", "model"], in: scratch)
            expectProper(ending, mutation.name, subject: "\(index).gguf")
            refused += ending.status == 65 ? 1 : 0
            let left = (try? FileSystem.names(in: library)) ?? []
            #expect(left == [] || left == ["model.sluice"], "\(mutation.name): \(left)")
        }
        #expect(refused > 60)
    }

    @Test(arguments: [false, true]) func damagedPackedFiles(isFixed: Bool) throws {
        print("seed \(Self.seed)")
        let scratch = try Scratch()
        let source = "\(Repository.fixtures)/gguf/tiny-experts.gguf"
        let imported = try Program.sluice.run(
            ["import", source, "--library", scratch.folder, "--name", "whole"], in: scratch)
        #expect(imported.status == 0)
        let bytes = try #require(fileBytes(scratch.path("whole.sluice")))
        let packed = PackedBytes(bytes: bytes)
        let mutations = FileMutator.mutations(
            of: packed.directory, fields: packed.fields, seed: Self.seed, count: 70)
        var refused = 0
        for (index, mutation) in mutations.enumerated() where mutation.bytes != packed.directory {
            let damaged = packed.replacing(directory: mutation.bytes, isFixed: isFixed)
            let path = try scratch.write(damaged, to: "\(index).sluice")
            let ending = try Program.sluice.runLimited(
                ["eval", path, "--tokens", "1,2,3", "--memory", "48M"], in: scratch)
            expectProper(ending, mutation.name, subject: "\(index).sluice")
            refused += ending.status == 65 ? 1 : 0
        }
        #expect(refused > 35)
    }

    private func expectProper(_ ending: Ending, _ name: String, subject: String) {
        #expect([0, 65].contains(ending.status), "\(name): \(ending.status) \(ending.errors)")
        guard ending.status == 65 else { return }
        #expect(ending.errorLines.count == 1, "\(name): \(ending.errors)")
        #expect(ending.errors.contains(subject), "\(name): \(ending.errors)")
        let says = ["expected", "vocabulary: "].contains { ending.errors.contains($0) }
        #expect(says, "\(name): \(ending.errors)")
    }
}

/// A packed file taken apart: its data, and its directory (the header's fields and the manifest).
private struct PackedBytes {
    /// Magic to file length.
    private static let headerFieldBytes = 48
    private static let manifestField = 16

    let bytes: [UInt8]
    private let manifestStart: Int

    init(bytes: [UInt8]) {
        self.bytes = bytes
        manifestStart = (0..<8).reduce(0) { $0 | Int(bytes[Self.manifestField + $1]) << ($1 * 8) }
    }

    var directory: [UInt8] {
        Array(bytes.prefix(Self.headerFieldBytes)) + bytes[manifestStart...]
    }

    var fields: [FileField] {
        let header = [(0, 8), (8, 4), (12, 4), (16, 8), (24, 8), (32, 4), (40, 8)].map {
            FileField(name: "header", offset: $0.0, byteCount: $0.1)
        }
        return header + numbers(from: Self.headerFieldBytes)
    }

    /// Runs of digits in the manifest's text.
    private func numbers(from start: Int) -> [FileField] {
        let directory = directory
        var fields: [FileField] = []
        var index = start
        while index < directory.count {
            let digits = directory[index...].prefix { (48...57).contains($0) }.count
            if digits > 0 {
                fields.append(
                    FileField(name: "number", offset: index, byteCount: digits, isText: true))
            }
            index += max(digits, 1)
        }
        return fields
    }

    /// The file with another directory; with `isFixed`, lengths and checksums fit it again.
    func replacing(directory: [UInt8], isFixed: Bool) -> [UInt8] {
        let header = directory.prefix(Self.headerFieldBytes)
        let manifest = directory.dropFirst(Self.headerFieldBytes)
        var result = header + bytes[header.count..<manifestStart] + manifest
        guard isFixed, result.count >= 4096 else { return Array(result) }
        func put(_ value: UInt64, at offset: Int, count: Int) {
            for index in 0..<count {
                result[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
            }
        }
        put(UInt64(manifest.count), at: 24, count: 8)
        put(UInt64(checksum(Array(manifest))), at: 32, count: 4)
        put(UInt64(result.count), at: 40, count: 8)
        put(UInt64(checksum(Array(result[..<4092]))), at: 4092, count: 4)
        return Array(result)
    }

    private func checksum(_ bytes: [UInt8]) -> UInt32 { unsafe Checksum.of(bytes.span.bytes) }
}
