// What the commands leave behind about experts: popularity beside the model, traces where asked.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct ExpertCacheCommandTests {
    @Test func popularityIsKeptAndGoesWithItsModel() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.path("library")]
        let packed = scratch.path("library/shell-moe-q4_0.sluice")
        let answer = try Program.sluice.run(
            ["run", Repository.model, "--local", "--memory", "32M", "--max-tokens", "4", "curl"]
                + library, in: scratch)
        #expect(answer.status == 0, "\(answer.errors)")
        #expect(FileSystem.exists(packed + ".popularity"))
        let names = try FileSystem.names(in: FileSystem.parent(of: packed))
        #expect(!names.contains { $0.contains(".part") }, "\(names)")
        let listed = try Program.sluice.run(["ls"] + library, in: scratch)
        #expect(listed.output.split(separator: "\n").count == 2, "\(listed.output)")
        let removed = try Program.sluice.run(["rm", "shell-moe-q4_0"] + library, in: scratch)
        #expect(removed.status == 0)
        #expect(try FileSystem.names(in: scratch.path("library")).isEmpty)
    }

    /// Killed when the new file is written and has not taken the old one's place.
    @Test func killedWhileSavingPopularityStays() throws {
        let scratch = try Scratch()
        let packed = scratch.path("library/shell-moe-q4_0.sluice")
        let words = [
            "run", Repository.model, "--local", "--memory", "32M", "--max-tokens", "4", "curl",
            "--library", scratch.path("library")
        ]
        #expect(try Program.sluice.run(words, in: scratch).status == 0)
        let saved = try #require(fileBytes(packed + ".popularity"))
        let killed = try Program.sluice.start(
            words, refusing: ["fsync"], error: 0, in: scratch
        ).wait()
        #expect(killed.status == 128 + SIGSYS, "\(killed.status) \(killed.errors)")
        let names = try FileSystem.names(in: scratch.path("library"))
        #expect(names.contains { $0.contains(".popularity.part-") }, "\(names)")
        #expect(fileBytes(packed + ".popularity") == saved)
        let next = try Program.sluice.run(words, in: scratch)
        #expect(next.status == 0 && !next.errors.contains("popularity"), "\(next.errors)")
    }

    @Test func tracesAreForMixturesOfExperts() throws {
        let scratch = try Scratch()
        let options = ["--library", scratch.path("library"), "--trace", scratch.path("trace")]
        let dense = try Program.sluice.run(
            ["eval", Repository.fixtures + "/models/llama-q4_0.gguf", "--tokens", "1,2"] + options,
            in: scratch)
        #expect(dense.status == 64)
        #expect(!FileSystem.exists(scratch.path("trace")))
        let mixture = try Program.sluice.run(
            ["eval", Repository.fixtures + "/models/qwen3moe.gguf", "--tokens", "1,2"] + options,
            in: scratch)
        #expect(mixture.status == 0, "\(mixture.errors)")
        #expect(fileBytes(scratch.path("trace"))?.prefix(8) == Array("SLUICESC".utf8)[...])
    }

    @Test func aCacheBelowOneTokenIsSaid() throws {
        let scratch = try Scratch()
        let shown = try Program.sluice.run(
            [
                "show", Repository.model, "--memory", "26M", "--context", "512", "--library",
                scratch.path("library")
            ], in: scratch)
        #expect(shown.status == 0, "\(shown.errors)")
        #expect(shown.output.contains("but one token uses 24"), "\(shown.output)")
    }
}
