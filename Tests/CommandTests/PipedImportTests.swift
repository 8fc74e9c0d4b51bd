// `sluice import -` as it is used: from a pipe.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct PipedImportTests {
    /// A model through a pipe is what it is from a file of that name.
    @Test func pipesGiveTheFilesBytes() throws {
        let scratch = try Scratch()
        let model = "\(Repository.fixtures)/models/qwen3moe.gguf"
        let shell = Program(path: "/bin/sh")
        let piped = try shell.run(
            [
                "-c", "cat \"$1\" | \"$0\" import - --name qwen3moe --library \"$2\"",
                Program.sluice.path, model, scratch.path("piped")
            ], in: scratch)
        #expect(piped.status == 0, "\(piped.errors)")
        #expect(piped.errorLines.last?.hasPrefix("qwen3moe: imported, ") == true)
        let file = try Program.sluice.run(
            ["import", model, "--library", scratch.path("file")], in: scratch)
        #expect(file.status == 0, "\(file.errors)")
        let expected = try #require(fileBytes(scratch.path("file/qwen3moe.sluice")))
        let isSame = fileBytes(scratch.path("piped/qwen3moe.sluice")) == expected
        #expect(isSame)
    }

    /// Whoever waits for a pipe that brings nothing can stop waiting.
    @Test func waitingForAPipeCanBeInterrupted() throws {
        let scratch = try Scratch()
        let fifo = scratch.path("fifo")
        try #require(unsafe mkfifo(fifo, 0o600) == 0)
        // Both ends, so that it neither blocks nor ends.
        let writer = try FileDescriptor(path: fifo, mode: .readWrite)
        let program = try Program.sluice.start(
            ["import", "-", "--name", "a", "--library", scratch.path("library")], in: scratch,
            input: fifo)
        try unsafe Array("GGUF".utf8).span.bytes.withUnsafeBytes { bytes in
            try #require(unsafe write(writer.rawValue, bytes.baseAddress, 4) == 4)
        }
        Thread.sleep(microseconds: 300_000)
        program.signal(SIGINT)
        let ending = program.wait()
        #expect(ending.status == 130, "\(ending.errors)")
        #expect(!FileSystem.exists(scratch.path("library")))
    }
}
