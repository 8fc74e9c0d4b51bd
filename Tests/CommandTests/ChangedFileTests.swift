// A model's file that changes under the built daemon: replaced, damaged, repaired, removed. The
// name never stands for what was there before.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct ChangedFileTests {
    private static let other = "\(Repository.fixtures)/models/qwen3moe.gguf"
    private static let prompt = "What is curl?"
    /// Noise, the same every time, which hardly ever ends by itself.
    private static let longAnswer = [
        "--temperature", "9", "--seed", "7", "--top-k", "0", "--top-p", "1", "--min-p", "0",
        "--max-tokens", "400"
    ]

    @Test func aReplacedFileAnswersFromTheNextRequestOn() throws {
        let daemon = try Daemon()
        let first = try complete(daemon)
        try replace(daemon, by: Self.other)
        let second = try complete(daemon)
        #expect(second != first && second.contains("\"text\""), "\(second)")
        try replace(daemon, by: Repository.model)
        #expect(try complete(daemon) == first)
        #expect(daemon.stop() == 0)
    }

    @Test func aRunningAnswerIsFinishedFromTheOldFile() throws {
        let daemon = try Daemon()
        let whole = try daemon.start(Self.prompt, Self.longAnswer).wait()
        #expect(whole.status == 0 && whole.output.count > 100, "\(whole.errors)")
        let first = try complete(daemon)
        let running = try daemon.start(Self.prompt, Self.longAnswer)
        Thread.sleep(microseconds: 300_000)
        try replace(daemon, by: Self.other)
        let ending = running.wait()
        #expect(ending.status == 0 && ending.output == whole.output, "\(ending.errors)")
        #expect(try complete(daemon) != first)
        #expect(daemon.stop() == 0)
    }

    @Test func aGoodFileOverADamagedOneEndsTheErrors() throws {
        let daemon = try Daemon()
        let first = try complete(daemon)
        let path = "\(daemon.library)/shell.sluice"
        do {
            let file = try FileDescriptor(path: path, mode: .readWrite)
            try file.truncate(byteCount: try file.byteCount() / 2)
        }
        #expect(try complete(daemon).contains("error"))
        try replace(daemon, by: Repository.model)
        #expect(try complete(daemon) == first)
        #expect(daemon.stop() == 0)
    }

    /// Weights that were found good when they were first read, and have other bytes now.
    @Test func bytesThatChangeInPlaceAreNoticed() throws {
        let daemon = try Daemon()
        let first = try complete(daemon)
        let path = "\(daemon.library)/shell.sluice"
        let whole = try #require(fileBytes(path))
        let file = try FileDescriptor(path: path, mode: .readWrite)
        // All weights: the header is in front, the vocabulary and the manifest are at the ends.
        let changed = whole[(4 << 20)..<(20 << 20)].map { $0 ^ 0x55 }
        try unsafe file.write(changed.span.bytes, at: 4 << 20)
        try file.synchronize()
        #expect(try complete(daemon).contains("error"))
        try unsafe file.write(whole.span.bytes, at: 0)
        #expect(try complete(daemon) == first)
        #expect(daemon.stop() == 0)
    }

    @Test func aRemovedFileIsNotFound() throws {
        let daemon = try Daemon()
        let first = try complete(daemon)
        try FileSystem.remove("\(daemon.library)/shell.sluice")
        #expect(try complete(daemon).contains("error"))
        try replace(daemon, by: Repository.model)
        #expect(try complete(daemon) == first)
        #expect(daemon.stop() == 0)
    }

    /// Eight tokens with what comes before and after them left out.
    private func complete(_ daemon: Daemon) throws -> String {
        let body =
            "{\"model\":\"shell\",\"temperature\":0,\"max_tokens\":8,\"prompt\":"
            + "\"\(Self.prompt)\"}"
        let answer = try daemon.request(["--data", body, "/v1/completions"])
        guard let start = answer.range("\"text\""), let end = answer.range("\"finish_reason\"")
        else { return answer }
        return String(answer[start..<end])
    }

    private func replace(_ daemon: Daemon, by model: String) throws {
        let ending = try Program.sluice.run(
            ["import", model, "--library", daemon.library, "--name", "shell", "--force"],
            in: daemon.scratch)
        #expect(ending.status == 0, "\(ending.errors)")
    }
}

extension String {
    /// Where `text` first begins.
    fileprivate func range(_ text: String) -> Index? {
        indices.first { self[$0...].hasPrefix(text) }
    }
}
