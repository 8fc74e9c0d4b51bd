// What long work and the programs themselves say: progress without a terminal, and versions.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct ProgressTests {
    /// Into a file there is a line every few seconds, and no bar.
    @Test func longWorkIsNotSilent() throws {
        let scratch = try Scratch()
        let readme = try #require(fileBytes("\(Repository.folder)/README.md"))
        let long = try scratch.write(
            Array(repeatElement(readme, count: 200).joined()), to: "long.txt")
        let library = ["--library", scratch.path("library")]
        let bench = try Program.sluice.start(
            ["bench", Repository.model, "--generate", "200", "--runs", "1000"] + library,
            in: scratch)
        try watch(bench, "benchmarking: ")
        let eval = try Program.sluice.start(
            ["eval", Repository.model, "--file", long] + library, in: scratch)
        try watch(eval, "evaluating: ")
    }

    private func watch(_ program: RunningProgram, _ word: String) throws {
        let start = MonotonicClock.nanoseconds
        while !text(program.errors).contains(" % after "),
            MonotonicClock.nanoseconds - start < 60_000_000_000
        {
            Thread.sleep(microseconds: 100_000)
        }
        program.signal(SIGKILL)
        _ = program.wait()
        #expect(text(program.errors).contains("sluice: \(word)"), "\(text(program.errors))")
        #expect(!text(program.errors).contains("\r") && text(program.output).isEmpty)
    }

    private func text(_ path: String) -> String {
        String(decoding: fileBytes(path) ?? [], as: UTF8.self)
    }

    @Test func programsSayTheirVersion() throws {
        let scratch = try Scratch()
        let said = try [Program.sluice, .sluiced].map { try $0.run(["--version"], in: scratch) }
        #expect(said.allSatisfy { $0.status == 0 && $0.output == said[0].output })
        let numbers = said[0].output.dropLast().split(separator: ".")
        #expect(numbers.count == 3 && numbers.allSatisfy { Int($0) != nil }, "\(said[0].output)")
    }
}
