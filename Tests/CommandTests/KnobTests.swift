// Knobs have one name: what an option of an in-process command sets, a profile can, and the daemon
// that reads the profile says what became of it.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct KnobTests {
    /// Options of commands that run a model, and the keys of profiles that say the same.
    private static let keys = [
        "memory": "memory.budget", "threads": "compute.threads",
        "context": "generation.context_tokens", "context-tokens": "generation.context_tokens",
        "kv-bits": "kv.bits", "prefetch-max": "flash.prefetch_max",
        "prefetch": "flash.prefetch_max", "speculate": "generation.speculate",
        "sparse": "weights.sparse", "activation-sparsity": "weights.activation_sparsity",
        "quality-loss-max": "weights.quality_loss_max", "verify": "flash.verify",
        "read-seconds-max": "flash.read_seconds_max",
        "library": "service.models_directory"
    ]
    /// What no profile says: which profile, what a command is to do, and to have no limit.
    private static let others = [
        "profile", "resident", "check", "service", "version", "help"
    ]

    /// `table.key` of each line that sets something.
    private static func keysOfGenericProfile() throws -> Set<String> {
        let text = try #require(TextFile.read("\(Repository.folder)/profiles/generic.toml"))
        var (keys, table): (Set<String>, Substring) = ([], "")
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix("[") {
                table = line.dropFirst().prefix { $0 != "]" }
            } else {
                keys.insert("\(table).\(line.prefix { $0 != " " })")
            }
        }
        return keys
    }

    @Test func optionsAreKeysOfProfiles() throws {
        let scratch = try Scratch()
        let known = try Self.keysOfGenericProfile()
        let help = try Program.sluice.run(["show", "--help"], in: scratch).output
        let options = help.split { " ,\n".contains($0) }.filter { $0.hasPrefix("--") }
            .map { String($0.dropFirst(2)) }
        #expect(options.count > 10, "\(help)")
        for option in options where !Self.others.contains(option) {
            let key = try #require(Self.keys[option], "--\(option) has no key")
            #expect(known.contains(key), "\(key)")
        }
        #expect(Set(options).isSuperset(of: ["sparse", "verify", "kv-bits", "prefetch-max"]))
    }

    @Test func profilesOfCommandsAndOptionsSayTheSame() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.path("library")]
        let profile = try scratch.write(
            Array("[kv]\nbits = 16\n[generation]\ncontext_tokens = 192\n".utf8), to: "p.toml")
        let show = ["show", Repository.model, "--memory", "30M"] + library
        func lines(_ extra: [String]) throws -> [Substring] {
            let ending = try Program.sluice.run(show + extra, in: scratch)
            #expect(ending.status == 0, "\(ending.errors)")
            return ending.output.split(separator: "\n")
        }
        let told = try lines(["--profile", profile])
        #expect(told == (try lines(["--kv-bits", "16", "--context", "192"])))
        #expect(told.contains { $0.contains("192 tokens at once: as asked") }, "\(told)")
        // An option wins.
        #expect(try lines(["--profile", profile, "--kv-bits", "32"]) != told)
    }

    /// `--service` divides a budget as the daemon does: a sixteenth and a body for clients.
    @Test func memoryForClientsIsKeptWhenAsked() throws {
        let scratch = try Scratch()
        func run(_ words: [String]) throws -> Ending {
            try Program.sluice.run(words + ["--library", scratch.folder], in: scratch)
        }
        let budget = [Repository.model, "--memory", "64M"]
        let line = "connections         6.0 MiB"
        let shown = try run(["show", "--service"] + budget)
        #expect(shown.status == 0 && shown.output.contains(line), "\(shown.output)")
        #expect(try !run(["show"] + budget).output.contains("connections"))
        let measured = try run(
            ["bench", "--service", "--prompt", "2", "--generate", "2", "--runs", "1", "--json"]
                + budget)
        #expect(measured.output.contains("\"connections\":6291456"), "\(measured.output)")
        let refused = try run(["bench", "--service", "--resident", Repository.model])
        #expect(refused.status == 64 && refused.errors.contains("--service"), "\(refused.errors)")
    }

    @Test func theDaemonFollowsItsProfileAndSaysSo() throws {
        let scratch = try Scratch()
        let (library, socket) = (scratch.path("library"), scratch.path("socket"))
        let text = """
            [memory]
            budget = "30M"
            [kv]
            bits = 16
            [generation]
            context_tokens = 320
            [flash]
            verify = "always"
            [weights]
            sparse = "exact"
            """
        let profile = try scratch.write(Array(text.utf8), to: "p.toml")
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--name", "shell", "--library", library], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        let daemon = try Program.sluiced.start(
            ["--profile", profile, "--library", library, "--socket", socket], in: scratch)
        for _ in 0..<1000 where !FileSystem.exists(socket) { Thread.sleep(microseconds: 10_000) }
        let answer = try Program.sluice.run(
            ["run", "--socket", socket, "shell", "What is curl?", "--max-tokens", "2"],
            in: scratch)
        #expect(answer.status == 0, "\(answer.errors)")
        let models = try Program(path: "/usr/bin/curl").run(
            ["--silent", "--unix-socket", socket, "http://localhost/v1/models"], in: scratch)
        for part in [
            "\"reads\":\"whole\"", "\"context_tokens\":320", "\"context_because\":\"as asked\"",
            "\"kv_bits\":16", "\"memory_limit_bytes\":\(30 << 20)"
        ] { #expect(models.output.contains(part), "\(models.output)") }
        let running = try Program.sluice.run(["ps", "--socket", socket], in: scratch)
        for word in ["READS", "whole", "320", "16 bits", "context: as asked"] {
            #expect(running.output.contains(word), "\(running.output)")
        }
        daemon.signal(SIGTERM)
        let ending = daemon.wait()
        #expect(ending.status == 0)
        #expect(ending.errors.contains("context 320 tokens (as asked), KV 16 bits"))
    }
}
