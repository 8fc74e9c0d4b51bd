// `sluice import --consume`, killed as it goes.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct ConsumeTests {
    private func copy(_ scratch: Scratch) throws -> String {
        try scratch.write(try #require(fileBytes(Repository.model)), to: "shell.gguf")
    }

    private func consume(_ source: String, _ scratch: Scratch) -> [String] {
        ["import", source, "--consume", "--library", scratch.path("library")]
    }

    /// Killed at any time, it goes on, and makes what an import of the whole source makes.
    @Test func killedImportsGoOn() throws {
        let scratch = try Scratch()
        let source = try copy(scratch)
        let whole = try Program.sluice.run(
            ["import", source, "--library", scratch.path("whole")], in: scratch)
        #expect(whole.status == 0, "\(whole.errors)")
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        let library = scratch.path("library")
        for signal in [SIGKILL, SIGKILL, SIGINT, SIGKILL, SIGTERM, SIGKILL] {
            let program = try Program.sluice.start(consume(source, scratch), in: scratch)
            Thread.sleep(microseconds: UInt32(random.next() % 150_000))
            program.signal(signal)
            let ending = program.wait()
            let models = ((try? FileSystem.names(in: library)) ?? []).filter {
                !$0.hasPrefix(".")
            }
            if ending.status == 0 || !models.isEmpty { break }
            #expect(FileSystem.exists(source), "seed \(seed)")
        }
        if FileSystem.exists(source) {
            let ending = try Program.sluice.run(consume(source, scratch), in: scratch)
            let isFinished = ending.status == 0 || ending.errors.contains("exists")
            #expect(isFinished, "seed \(seed): \(ending.errors)")
        }
        let isSame =
            fileBytes("\(library)/shell.sluice") == fileBytes(scratch.path("whole/shell.sluice"))
        #expect(isSame, "seed \(seed)")
        #expect(try FileSystem.names(in: library) == ["shell.sluice"], "seed \(seed)")
    }

    /// A drive that becomes full says so, and what to do.
    @Test func aFullDriveIsToldAndGoneOnFrom() throws {
        let scratch = try Scratch()
        let source = try copy(scratch)
        // In blocks of 512 bytes: enough for a part to be consumed.
        let full = try Program(path: "/bin/sh").run(
            ["-c", "ulimit -f 44000; exec \"$0\" \"$@\"", Program.sluice.path]
                + consume(source, scratch), in: scratch)
        #expect(full.status == 74, "\(full.status) \(full.errors)")
        #expect(full.errors.contains("the same command goes on"), "\(full.errors)")
        let plain = try Program.sluice.run(
            ["import", source, "--library", scratch.path("library")], in: scratch)
        #expect(plain.status == 65 && plain.errors.contains("what is left of one"))
        let ending = try Program.sluice.run(consume(source, scratch), in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(!FileSystem.exists(source))
        #expect(try FileSystem.names(in: scratch.path("library")) == ["shell.sluice"])
    }
}
