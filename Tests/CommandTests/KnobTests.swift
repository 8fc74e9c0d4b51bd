// Knobs have one name: what an option of an in-process command sets, a profile can, and the daemon
// that reads the profile says what became of it.

import Glibc
import Knobs
import LinuxSystem
import TestSupport
import Testing

@Suite struct KnobTests {
    /// The options that a command's help lists: lines begin with their names, two columns in.
    private static func options(of command: String) throws -> Set<String> {
        let help = try Program.sluice.run([command, "--help"], in: try Scratch()).output
        let lines = help.split(separator: "\n").filter { $0.hasPrefix("  -") }
        let names = lines.flatMap { line in
            line.split { " ,".contains($0) }.prefix { $0.hasPrefix("-") }
        }
        return Set(names.filter { $0.hasPrefix("--") }.map { String($0.dropFirst(2)) })
    }

    /// Of commands that run a model in their own process, every option is a knob, and so a profile
    /// and the service can be told the same, or the documentation says why not.
    @Test func everyOptionIsAKnobOrSaysWhyNot() throws {
        let knobs = Set(KnobTable.all.flatMap(\.optionNames))
        let others = Set(KnobTable.commandOptions.map(\.name))
        #expect(knobs.isDisjoint(with: others))
        var all: Set<String> = []
        for command in ["show", "eval", "bench", "run", "calibrate"] {
            let options = try Self.options(of: command)
            #expect(options.isSuperset(of: ["sparse", "verify", "kv-bits", "prefetch"]))
            #expect(options.subtracting(knobs).subtracting(others) == [], "\(command)")
            all.formUnion(options)
        }
        #expect(knobs.subtracting(all) == [])
        #expect(others.subtracting(all) == [])
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
        // What costs quality is said, where it was asked for.
        #expect(!told.contains { $0.contains("lossy") }, "\(told)")
        for (mode, said) in [
            (["--kv-snap-tokens", "99"], "99 tokens of a longer prompt are kept"),
            (["--kv-gem-tokens", "98"], "98 tokens of a longer prompt are computed"),
            (["--kv-when-full", "slide"], "what is oldest goes when it is full")
        ] {
            let lossy = try lines(["--profile", profile] + mode)
            #expect(lossy.contains { $0.contains(said) && $0.contains("(lossy)") }, "\(lossy)")
        }
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
            "\"context_tokens_in_memory\":320", "\"kv_bits\":16",
            "\"memory_limit_bytes\":\(30 << 20)"
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
    /// Every knob of a running model reaches what runs: the log's line is read from there.
    @Test func theEngineIsSetAsTheProfileSays() throws {
        let profile = """
            [memory]
            budget = "30M"
            [flash]
            queue_depth = 5
            read_bytes_max = "64K"
            gap_bytes_max = "8K"
            read_bytes_min = "4K"
            reader = "pread"
            read_seconds_max = 9
            prefetch_max = 3
            verify = "always"
            [weights]
            quality_loss_max = 0.25
            activation_sparsity = 0.5
            [kv]
            bits = 16
            [compute]
            threads = 1
            [generation]
            prefill_chunk_tokens = 17
            speculate = 3
            """
        let daemon = try Daemon(profile: profile, options: [])
        let answer = try daemon.post(
            "{\"model\":\"shell\",\"prompt\":\"a\",\"max_tokens\":1}", to: "/v1/completions")
        #expect(answer.hasSuffix("\n200"), "\(answer)")
        let lines = daemon.log.split(separator: "\n")
        let line = try #require(lines.first { $0.contains("set model=shell") }, "\(lines)")
        let fields = Set(line.split(separator: " "))
        for field in [
            "queue_depth=5", "read_bytes_max=65536", "gap_bytes_max=8192", "read_bytes_min=4096",
            "reader=pread", "read_seconds_max=9", "prefetch_max=3", "verify=always",
            "quality_loss_max=0.25", "kv_bits=16", "threads=1", "prefill_chunk_tokens=17",
            "speculate=3"
        ] { #expect(fields.contains(Substring(field)), "\(field): \(line)") }
        // This model has no neurons to leave out, and whoever asks for it is told so.
        #expect(lines.contains { $0.contains("no neuron bundles to leave out") }, "\(lines)")
        #expect(daemon.stop() == 0)
    }
}
