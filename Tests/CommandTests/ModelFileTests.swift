// Which files the commands take for models: those that are, whatever they are called.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct ModelFileTests {
    private static let tiny = "\(Repository.fixtures)/models/qwen3moe.gguf"

    /// A copy of the small model, after `change`.
    private func copy(
        _ name: String, in scratch: Scratch, _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws -> String {
        var bytes = try #require(fileBytes(Self.tiny))
        change(&bytes)
        return try scratch.write(bytes, to: name)
    }

    private func replace(_ old: String, by new: String, in bytes: inout [UInt8]) {
        let (old, new) = (Array(old.utf8), Array(new.utf8))
        let last = bytes.count - old.count
        guard let place = (0...last).first(where: { bytes[$0...].starts(with: old) }) else {
            Issue.record("no \(old) in the file")
            return
        }
        bytes.replaceSubrange(place..<place + old.count, with: new)
    }

    /// What import leaves out of a file it says, with its bytes; `show` says which layers have
    /// experts.
    @Test func draftLayersAreSaidAtImport() throws {
        let scratch = try Scratch()
        let library = scratch.path("library")
        let imported = try Program.sluice.run(
            ["import", "\(Repository.fixtures)/models/glm4moe.gguf", "--library", library],
            in: scratch)
        #expect(imported.status == 0)
        #expect(imported.errors.contains("glm4moe: left out: 1 draft layer, 101 KiB\n"))
        let shown = try Program.sluice.run(["show", "glm4moe", "--library", library], in: scratch)
        #expect(shown.output.contains("5 in 2 of 3 layers, 2 used\n"), "\(shown.output)")
    }

    @Test func theContentDecidesWhateverTheName() throws {
        let scratch = try Scratch()
        let blob = try copy(
            "sha256-2af3b81862c6be03c769683af18efdadb2c33f60ff32ab6f83e42c043d6c7816", in: scratch)
        let loud = try copy("MODEL.GGUF", in: scratch)
        let plain = try copy("plain", in: scratch)
        let link = scratch.path("link")
        let linked = unsafe symlink(blob, link)
        #expect(linked == 0)
        let library = scratch.path("library")
        for file in [blob, loud, plain, link] {
            for command in [
                ["show"], ["eval", "--tokens", "1,2"], ["tokenize", "--text", "a"],
                ["bench", "--prompt", "2", "--generate", "1"],
                ["run", "--local", "--raw", "--max-tokens", "1"]
            ] {
                let isRun = command[0] == "run"
                let ending = try Program.sluice.run(
                    command + [file] + (isRun ? ["a"] : []) + ["--library", library], in: scratch)
                #expect(ending.status == 0, "\(command) \(file): \(ending.errors)")
            }
            let imported = try Program.sluice.run(
                ["import", file, "--library", library, "--name", "again", "--force"], in: scratch)
            #expect(imported.status == 0, "\(imported.errors)")
        }
        // A packed file by another name is one all the same.
        let packed = scratch.path("packed.gguf")
        let moved = unsafe rename(library + "/again.sluice", packed)
        #expect(moved == 0)
        let shown = try Program.sluice.run(["show", packed, "--library", library], in: scratch)
        #expect(shown.status == 0, "\(shown.errors)")
    }

    /// Of another version, one line says what to do.
    @Test(arguments: [(UInt8(1), "import the model again"), (4, "a newer Sluice made the file")])
    func otherVersionsAreRefusedWithAdvice(version: UInt8, advice: String) throws {
        let scratch = try Scratch()
        let library = scratch.path("library")
        let imported = try Program.sluice.run(
            ["import", Self.tiny, "--library", library, "--name", "tiny"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        var bytes = try #require(fileBytes(library + "/tiny.sluice"))
        #expect(bytes[8] == 3)
        bytes[8] = version
        let file = try scratch.write(bytes, to: "other.sluice")
        for command in [
            ["show"], ["eval", "--tokens", "1,2"], ["bench", "--prompt", "2", "--generate", "1"],
            ["tokenize", "--text", "a"], ["run", "--local", "a"]
        ] {
            let ending = try Program.sluice.run(
                [command[0], file] + command.dropFirst() + ["--library", library], in: scratch)
            #expect(ending.status == 65, "\(command): \(ending.errors)")
            #expect(ending.errorLines.count == 1, "\(command): \(ending.errors)")
            #expect(ending.errors.contains("version \(version) (\(advice))"), "\(ending.errors)")
        }
    }

    @Test func whatNoCommandLoadsIsNotImported() throws {
        let scratch = try Scratch()
        let library = scratch.path("library")
        let file = try copy("wrong.gguf", in: scratch) { replace("qwen2", by: "qwenX", in: &$0) }
        let ending = try Program.sluice.run(["import", file, "--library", library], in: scratch)
        #expect(ending.status == 65)
        #expect(
            ending.errorLines.count == 1 && ending.errors.contains("'qwenX'"), "\(ending.errors)")
        #expect(!FileSystem.exists(library + "/wrong.sluice"))
    }

    @Test func longFilesBecomeTokensInBoundedMemory() throws {
        let scratch = try Scratch()
        let line = Array("The quick brown fox, 12345 of them; jumps.\n".utf8)
        let text = try scratch.write(
            (0..<(6 << 20) / line.count).flatMap { _ in line }, to: "text")
        let ending = try Program.sluice.runLimited(
            ["tokenize", Self.tiny, "--file", text], in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(ending.output.utf8.count { $0 == 0x20 } > 1 << 20)
    }
}
