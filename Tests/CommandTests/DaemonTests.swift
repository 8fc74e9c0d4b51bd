// The built daemon over a real socket, a real model and less memory than its weights take.

import FoundationEssentials
import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct DaemonTests {
    private static let budgetBytes = 25 << 20
    /// Noise, which hardly ever ends by itself.
    static let longAnswer = [
        "--temperature", "9", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--max-tokens", "490"
    ]

    /// A request says its own width of keys and values; what the daemon decides goes with --local.
    @Test func runAsksTheDaemonForAWidth() throws {
        let daemon = try Daemon()
        let wide = try daemon.start("What is curl?", ["--kv-bits", "32", "--max-tokens", "8"])
            .wait()
        #expect(wide.status == 0 && !wide.output.isEmpty, "\(wide.errors)")
        let longest = try daemon.start("What is curl?", ["--kv-bits", "3"]).wait()
        #expect(longest.status == 64 && longest.errors.contains("32, 16, 8, 4 or 2"))
        let other = try daemon.start("What is curl?", ["--kv-bits", "8", "--kv-memory", "2M"])
            .wait()
        #expect(other.status == 64 && other.errors.contains("go with --local"), "\(other.errors)")
        #expect(daemon.stop() == 0)
    }

    @Test func idleDaemonIsSmall() throws {
        let daemon = try Daemon()
        #expect(try daemon.health() == "{\"status\":\"ok\"}")
        #expect(try daemon.memory("VmRSS") <= 20_000_000)
        #expect(daemon.stop() == 0)
    }

    @Test func answersWithinItsBudgetAndAsTheClientDoesAlone() throws {
        let daemon = try Daemon()
        let whole = try daemon.chat("What is curl?")
        #expect(whole.contains("\"finish_reason\":\"stop\""), "\(whole)")
        let text = try daemon.run("What is curl?")
        let alone = try Program.sluice.run(
            [
                "run", "--local", "--library", daemon.library, "shell", "What is curl?",
                "--temperature", "0", "--memory", "26M"
            ], in: daemon.scratch)
        #expect(text.status == 0 && text.output == alone.output && !text.output.isEmpty)
        #expect(whole.contains(text.output.split(separator: "\n")[0]))
        let stream = try daemon.chat("What is curl?", "\"stream\":true,")
        #expect(stream.hasSuffix("data: [DONE]\n\n"))
        #expect(try daemon.memory("VmHWM") <= Self.budgetBytes)
        #expect(try daemon.request(["/v1/models"]).contains("\"id\":\"shell\""))
        #expect(daemon.stop() == 0)
    }

    @Test func severalClientsAllGetAnswers() throws {
        let daemon = try Daemon()
        let clients = try (0..<5).map { _ in
            try daemon.start("What is curl?")
        }
        let endings = clients.map { $0.wait() }
        #expect(Set(endings.map(\.output)).count == 1)
        #expect(endings.allSatisfy { $0.status == 0 && !$0.output.isEmpty })
        #expect(daemon.stop() == 0)
    }

    @Test func clientThatGoesAwayFreesTheEngine() throws {
        let daemon = try Daemon()
        for _ in 0..<3 {
            let client = try daemon.start("What is curl?", Self.longAnswer)
            Thread.sleep(microseconds: 100_000)
            client.signal(SIGKILL)
            #expect(client.wait().status == 128 + SIGKILL)
        }
        let next = try daemon.run("What is curl?")
        #expect(next.status == 0 && !next.output.isEmpty)
        #expect(daemon.stop() == 0)
    }

    @Test func killedDaemonLeavesASocketThatHeals() throws {
        let daemon = try Daemon()
        daemon.process.signal(SIGKILL)
        #expect(daemon.process.wait().status == 128 + SIGKILL)
        let again = try Daemon(in: daemon.scratch)
        #expect(try again.run("What is curl?").status == 0)
        let second = try Program.sluiced.run(again.arguments, in: again.scratch)
        #expect(second.status == 75, "\(second.errors)")
        #expect(try again.health() == "{\"status\":\"ok\"}")
        #expect(again.stop() == 0)
    }

    /// What happens to the file under a loaded model ends requests, not the daemon.
    @Test func damageWhileServingEndsTheRequest() throws {
        let daemon = try Daemon()
        let before = try daemon.run("What is curl?")
        let path = "\(daemon.library)/shell.sluice"
        let whole = try #require(fileBytes(path))
        let file = try FileDescriptor(path: path, mode: .readWrite)
        try file.truncate(byteCount: UInt64(whole.count / 2))
        let broken = try daemon.run("What is curl?")
        #expect(broken.status == 74 || broken.status == 65, "\(broken.status) \(broken.errors)")
        #expect(broken.errorLines.count == 1, "\(broken.errors)")
        #expect(try daemon.health() == "{\"status\":\"ok\"}")
        try unsafe file.write(whole.span.bytes, at: 0)
        let after = try daemon.run("What is curl?")
        #expect(after.status == 0 && after.output == before.output, "\(after.errors)")
        #expect(daemon.stop() == 0)
    }

    /// Whatever a prompt is made of: what cannot fit the context is refused, and the budget holds.
    @Test func longPromptsAreRefusedWithinTheBudget() throws {
        let daemon = try Daemon()
        let answer = try daemon.run("What is curl?").output
        let pieces = ["ab", " ", "\\n", "7", "中", "🚀", "<|im_end|>", "word, ", "\\u00e9", "!\\t"]
        for piece in pieces {
            // Too long for any text that fits, and one that has to become tokens to be seen so.
            for bytes in [250_000, 30_000] {
                let text = String(repeating: piece, count: bytes / piece.utf8.count)
                let bodies = [
                    "/v1/chat/completions":
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"\(text)\"}]}",
                    "/v1/completions": "{\"prompt\":\"\(text)\"}"
                ]
                for (route, body) in bodies {
                    let file = try daemon.scratch.write(Array(body.utf8), to: "body")
                    let refusal = try daemon.request(["--data-binary", "@\(file)", route])
                    #expect(refusal.contains("context_length_exceeded"), "\(piece) \(refusal)")
                    try FileSystem.remove(file)
                }
            }
        }
        #expect(try daemon.memory("VmHWM") <= Self.budgetBytes)
        #expect(try daemon.run("What is curl?").output == answer)
        #expect(daemon.stop() == 0)
    }

    @Test func terminatesWhileAnswering() throws {
        let daemon = try Daemon()
        let client = try daemon.start("What is curl?", Self.longAnswer)
        Thread.sleep(microseconds: 200_000)
        #expect(daemon.stop() == 0)
        #expect([0, 69, 74, 75].contains(client.wait().status))
    }

    /// OpenAI's own client, Ollama's and Anthropic's, where a Python that has them is named.
    @Test(arguments: ["openai", "ollama", "anthropic"])
    func officialClient(_ package: String) throws {
        let scratch = try Scratch()
        let named = unsafe getenv("SLUICE_CLIENT_PYTHON").map { unsafe String(cString: $0) }
        guard let python = named,
            try Program(path: python).run(["-c", "import \(package)"], in: scratch).status == 0
        else {
            print("skipped: SLUICE_CLIENT_PYTHON names no Python with the \(package) package")
            return
        }
        let daemon = try Daemon()
        let ending = try Program(path: python).run(
            ["\(Repository.folder)/Tests/Clients/\(package)_client.py", daemon.socket, "shell"],
            in: daemon.scratch)
        #expect(ending.status == 0, "\(ending.output) \(ending.errors)")
        #expect(daemon.stop() == 0)
    }
}

/// A running daemon with the bundled model in its library.
final class Daemon {
    let scratch: Scratch
    let arguments: [String]
    let process: RunningProgram
    private var hasEnded = false

    var library: String { scratch.path("library") }
    var socket: String { scratch.path("socket") }

    /// - Parameters:
    ///   - given: another daemon's folder, with its library.
    ///   - profile: a profile's text.
    ///   - options: what is said besides the places.
    init(
        in given: Scratch? = nil, profile: String? = nil, options: [String] = ["--memory", "25M"]
    ) throws {
        let scratch = try given ?? Scratch()
        self.scratch = scratch
        let (library, socket) = (scratch.path("library"), scratch.path("socket"))
        let file = try profile.map {
            ["--profile", try scratch.write(Array($0.utf8), to: "p.toml")]
        }
        arguments = options + ["--library", library, "--socket", socket] + (file ?? [])
        if given == nil {
            let imported = try Program.sluice.run(
                ["import", Repository.model, "--library", library, "--name", "shell"], in: scratch)
            #expect(imported.status == 0, "\(imported.errors)")
        }
        process = try Program.sluiced.start(arguments, in: scratch)
        for _ in 0..<1000 {
            if (try? health()) == "{\"status\":\"ok\"}" { return }
            Thread.sleep(microseconds: 10_000)
        }
        Issue.record("sluiced was not ready after ten seconds")
    }

    deinit { if !hasEnded { process.signal(SIGKILL) } }

    /// Ends the daemon and returns its status.
    func stop() -> Int32 {
        hasEnded = true
        process.signal(SIGTERM)
        return process.wait().status
    }

    /// Ends the daemon without a chance to finish anything.
    func kill() {
        hasEnded = true
        process.signal(SIGKILL)
        _ = process.wait()
    }

    func health() throws -> String { try request(["/health"]) }

    func request(_ arguments: [String]) throws -> String {
        let ending = try Program(path: "/usr/bin/curl").run(
            ["--silent", "--unix-socket", socket] + arguments.dropLast()
                + ["http://localhost" + (arguments.last ?? "")], in: scratch)
        #expect(ending.status == 0 || arguments == ["/health"], "\(ending.status)")
        return ending.output
    }

    func chat(_ question: String, _ more: String = "") throws -> String {
        let body =
            "{\"model\":\"shell\",\"temperature\":0,\(more)"
            + "\"messages\":[{\"role\":\"user\",\"content\":\"\(question)\"}]}"
        return try request(["--data", body, "/v1/chat/completions"])
    }

    /// The answer to a body, its status on a line of its own at the end.
    func post(_ body: String, to route: String = "/v1/chat/completions") throws -> String {
        try request(["--write-out", "\n%{http_code}", "--data", body, route])
    }

    /// What the daemon has logged so far.
    var log: String { String(decoding: fileBytes(process.errors) ?? [], as: UTF8.self) }

    func start(_ question: String, _ more: [String] = []) throws -> RunningProgram {
        try Program.sluice.start(
            ["run", "--socket", socket, "shell", question, "--temperature", "0"] + more, in: scratch
        )
    }

    func run(_ question: String) throws -> Ending { try start(question).wait() }

    /// A field of the daemon's /proc status, in bytes.
    func memory(_ field: String) throws -> Int {
        let status = try #require(TextFile.read("/proc/\(process.process)/status"))
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(field + ":") })
        return (Int(line.filter(\.isNumber)) ?? .max >> 10) << 10
    }
}
