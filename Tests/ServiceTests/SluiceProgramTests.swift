// The built `sluice` against a daemon with a fake engine: what it prints, and its exit statuses.

import GenerationAPI
import Glibc
import Service
import Testing

@Suite(.serialized, .enabled(if: Program.isBuilt, "needs the built client"))
struct SluiceProgramTests {
    private let directory = TemporaryDirectory()

    /// Runs `sluice` in a shell and returns its status, output and errors.
    private func sluice(
        _ arguments: String, input: String = "< /dev/null", prefix: String = ""
    ) -> (status: CInt, output: String, errors: String) {
        let (output, errors) = (directory.path + "/out", directory.path + "/err")
        let streams = "\(input) > '\(output)' 2> '\(errors)'"
        let status = Shell.run("\(prefix) '\(Program.path)' \(arguments) \(streams)")
        return (status, read(output), read(errors))
    }

    private func read(_ path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY)
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    }

    private func withDaemon(_ body: (RunningDaemon, String) throws -> Void) throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        try body(daemon, "--socket '\(daemon.socket)'")
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func answersAPrompt() throws {
        try withDaemon { daemon, socket in
            let answer = sluice("run echo 'hello there' \(socket)")
            #expect(answer.status == 0)
            #expect(answer.output == "hello there\n")
            #expect(answer.errors.isEmpty)
            let host = sluice("run echo hi", prefix: "SLUICE_HOST='unix://\(daemon.socket)'")
            #expect(host.output == "hi\n")
        }
    }

    @Test func readsThePromptFromStandardInput() throws {
        try withDaemon { _, socket in
            let file = directory.write("two\nlines\n", to: "prompt")
            let answer = sluice("run echo \(socket)", input: "< '\(file)'")
            #expect(answer.output == "two\nlines\n")
            #expect(sluice("run echo \(socket)").status == 64)
            let broken = sluice("run echo \(socket)", input: "< '\(Program.path)'")
            #expect(broken.status == 65)
        }
    }

    @Test func sendsItsOptions() throws {
        try withDaemon { daemon, socket in
            let answer = sluice(
                "run echo hi \(socket) --stats --system brief --max-tokens 5 --temperature 0"
                    + " --top-k 3 --seed 9 --stop x --stop y")
            #expect(answer.output == "hi\n")
            #expect(answer.errors.contains("3 tokens at 6.0/s"))
            #expect(answer.errors.contains("75% cache hits"))
            let order = try #require(daemon.service.orders.last)
            #expect(order.tokensMax == 5)
            #expect(order.stopStrings == ["x", "y"])
            #expect(
                order.prompt
                    == .chat([
                        .init(role: "system", content: "brief"), .init(role: "user", content: "hi")
                    ]))
            #expect(sluice("run echo hi --raw \(socket)").status == 0)
            #expect(daemon.service.orders.last?.prompt == .text("hi"))
        }
    }

    @Test func endsWithTheStatusThatFits() throws {
        try withDaemon { _, socket in
            let busy = sluice("run echo refuse \(socket)")
            #expect(busy.status == 75)
            #expect(busy.errors == "sluice: too many\n")
            #expect(sluice("run nothing hi \(socket)").status == 66)
            #expect(sluice("run \(socket)").status == 64)
            #expect(sluice("run echo hi --max-tokens 0 \(socket)").status == 64)
            #expect(sluice("nonsense").status == 64)
        }
        let alone = sluice("run echo hi --socket '\(directory.path)/none'")
        #expect(alone.status == 69)
        #expect(alone.errors.hasPrefix("sluice: no daemon answers at"))
        #expect(sluice("ps", prefix: "SLUICE_HOST=nonsense").status == 78)
    }

    @Test func interruptingEndsTheGeneration() throws {
        try withDaemon { daemon, socket in
            let files = directory.path
            let start =
                "{ '\(Program.path)' run echo wait \(socket) < /dev/null &"
                + " echo $! > '\(files)/pid'; wait $!; echo $? > '\(files)/status'; }"
                + " > /dev/null 2> '\(files)/err' &"
            #expect(Shell.run(start) == 0)
            #expect(eventually { daemon.service.orders.count == 1 })
            #expect(Shell.run("kill -INT $(cat '\(files)/pid')") == 0)
            #expect(eventually { !read(files + "/status").isEmpty })
            #expect(read(files + "/status") == "130\n")
            #expect(eventually { daemon.service.cancelledCount == 1 })
        }
    }

    @Test func listsAndRemoves() throws {
        _ = directory.write("12345", to: "b.sluice")
        let library = "--library '\(directory.path)'"
        let list = sluice("ls \(library)")
        #expect(list.output.hasPrefix("NAME  SIZE  MODIFIED\nb     5 B   2"))
        #expect(sluice("ls --json \(library)").output.hasPrefix(#"{"models":[{"name":"b","#))
        #expect(sluice("rm b \(library)").status == 0)
        #expect(sluice("rm b \(library)").status == 66)
        #expect(sluice("rm ../b \(library)").status == 64)
        try withDaemon { _, socket in
            #expect(sluice("ls \(socket)").output.contains("echo"))
            #expect(sluice("ps \(socket)").output.contains("fake"))
            #expect(sluice("ps --json \(socket)").output.contains(#""loaded":true"#))
        }
    }

    @Test func aReaderThatLeavesEndsItQuietly() throws {
        try withDaemon { _, socket in
            let status = Shell.run(
                "{ sleep 0.1; '\(Program.path)' run echo hi \(socket); echo $? >"
                    + " '\(directory.path)/status'; } 2> '\(directory.path)/err' | true")
            #expect(status == 0)
            #expect(eventually { !read(directory.path + "/status").isEmpty })
            #expect(read(directory.path + "/status") == "141\n")
            #expect(read(directory.path + "/err").isEmpty)
        }
    }
}

/// The built client, in the folder of the test itself.
enum Program {
    static var path: String {
        CommandLine.arguments[0].split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
            + "/sluice"
    }

    static var isBuilt: Bool { unsafe access(path, X_OK) == 0 }
}
