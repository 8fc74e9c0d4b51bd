// The built daemon as its users and administrators meet it: profiles, names, numbers, the journal.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct ServiceTests {
    private static let hello = #""messages":[{"role":"user","content":"hi"}],"max_tokens":1"#

    /// A profile from another system's editor means what it says.
    @Test func aProfileWithOtherLineEndsIsRead() throws {
        let daemon = try Daemon(
            profile:
                "# first\r\n[memory]\r\nbudget = \"25M\"\r\n[service]\r\nlog_level = \"debug\"\r\n",
            options: [])
        #expect(try daemon.run("What is curl?").status == 0)
        #expect(daemon.log.contains("limit_bytes=26214400"), "\(daemon.log)")
        #expect(daemon.log.contains("request route="), "\(daemon.log)")
        #expect(daemon.stop() == 0)
    }

    /// What a profile may say, every request can live with.
    @Test func everyPenaltyWindowAnswers() throws {
        let daemon = try Daemon(
            profile: "[generation]\npenalty_window = 8192\nrepeat_penalty = 1.1\n")
        for more in ["", #","repeat_last_n":8192"#, #","repeat_last_n":-1"#] {
            let answer = try daemon.post("{\(Self.hello)\(more)}")
            #expect(answer.hasSuffix("\n200"), "\(answer)")
        }
        let refused = try daemon.post("{\(Self.hello),\"repeat_last_n\":-2}")
        #expect(refused.contains("\"param\":\"repeat_last_n\"") && refused.hasSuffix("\n400"))
        #expect(daemon.stop() == 0)
    }

    @Test func everySeedGivesItsAnswer() throws {
        let daemon = try Daemon()
        let words = ["--temperature", "1.5", "--max-tokens", "12"]
        for seed in ["18446744073709551615", "9223372036854775808", "7"] {
            let answers = try (0..<2).map { _ in
                try daemon.start("What is tar?", words + ["--seed", seed]).wait()
            }
            let alone = try Program.sluice.run(
                [
                    "run", "--local", "--library", daemon.library, "shell", "What is tar?",
                    "--memory", "26M", "--seed", seed
                ] + words, in: daemon.scratch)
            #expect(answers[0].output == answers[1].output && answers[0].status == 0)
            #expect(answers[0].output == alone.output && !alone.output.isEmpty, "\(seed)")
        }
        let body = "{\(Self.hello),\"seed\":"
        #expect(try daemon.post(body + "18446744073709551616}").hasSuffix("\n400"))
        #expect(try daemon.post(body + "-9223372036854775809}").hasSuffix("\n400"))
        #expect(daemon.stop() == 0)
    }

    @Test func whatManyClientsSendIsServed() throws {
        let daemon = try Daemon()
        let message =
            #"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null},"#
        for body in [
            "{\(Self.hello),\"stop\":\"\",\"logit_bias\":{\"5\":0},\"stream_options\":{}}",
            message + #"{"role":"user","content":"\ud83d"}],"max_tokens":2}"#,
            #"{"messages":[{"role":"user","content":"a"}],"max_tokens":99999999999}"#,
            #"{"messages":[{"role":"user","content":"a"}],"max_tokens":-1,"temperature":0}"#
        ] {
            let answer = try daemon.post(body)
            #expect(answer.hasSuffix("\n200"), "\(body) \(answer)")
        }
        let completion = #"{"prompt":"a","max_tokens":1,"logprobs":false,"suffix":null}"#
        #expect(try daemon.post(completion, to: "/completions").hasSuffix("\n200"))
        let long = String(repeating: "hello world ", count: 2000)
        let tooLong = try daemon.post("{\"prompt\":\"\(long)\"}", to: "/v1/completions")
        #expect(tooLong.contains("\"param\":\"prompt\""), "\(tooLong)")
        #expect(daemon.stop() == 0)
    }

    @Test func namesAreUnderstoodOrTheModelsListed() throws {
        let daemon = try Daemon()
        let answer = try daemon.post("{\(Self.hello),\"model\":\"shell:latest\"}")
        #expect(answer.contains("\"model\":\"shell\"") && answer.hasSuffix("\n200"), "\(answer)")
        let unknown = try daemon.post("{\(Self.hello),\"model\":\"gpt\"}")
        #expect(unknown.contains("no model 'gpt'; there is 'shell'") && unknown.hasSuffix("\n404"))
        #expect(!unknown.contains(daemon.scratch.folder), "\(unknown)")
        let models = try daemon.request(["/v1/models/shell:latest"])
        #expect(models.contains("\"architecture\":\"") && !models.contains("\"architecture\":\"\""))
        let absent = try daemon.request(["/v1/chat/completion"])
        #expect(absent.contains("did you mean POST /v1/chat/completions?"), "\(absent)")
        #expect(daemon.stop() == 0)
    }

    @Test(arguments: [
        (["--memory", "0"], 78, "17.5 MiB"), (["--memory", "17.4M"], 78, "17.5 MiB"),
        (["--check", "--memory", "22.2M"], 0, "nothing is wrong"),
        (["--check", "--memory", "22.2 MiB"], 0, "nothing is wrong"),
        (["--check", "--profile", "BROKEN"], 78, "broken.toml:2: unknown key 'memory.budgte'; did"),
        (["--profile", "BROKEN"], 78, "did you mean 'memory.budget'?"),
        (["--check", "--profile", "EMPTY"], 0, "sets nothing"),
        (["--memory", "-5"], 64, "is a size such as 1536M or 1.5G, not '-5'"),
        (["--check", "--socket", "tcp://1"], 78, "'tcp://1' is an address"),
        (["--socket", "unix:///tmp/s"], 78, "and takes its path"),
        (["--socket", "/nowhere/sluice/s"], 78, "no directory /nowhere/sluice; make it")
    ])
    func startsOrSaysWhyNot(_ words: [String], _ status: Int32, _ message: String) throws {
        let scratch = try Scratch()
        let broken = try scratch.write(Array("[memory]\nbudgte = \"1G\"\n".utf8), to: "broken.toml")
        let empty = try scratch.write(Array("# nothing\n".utf8), to: "empty.toml")
        let arguments = words.map { $0 == "BROKEN" ? broken : $0 == "EMPTY" ? empty : $0 }
        let place = words.contains("--socket") ? [] : ["--socket", scratch.path("s")]
        let ending = try Program.sluiced.run(arguments + place, in: scratch)
        #expect(ending.status == status && ending.errors.contains(message), "\(ending.errors)")
    }

    /// One line for each thing that happens to models.
    @Test func theLogTellsOfModels() throws {
        let daemon = try Daemon()
        let tiny = "\(Repository.fixtures)/models/qwen3moe.gguf"
        let imported = try Program.sluice.run(
            ["import", tiny, "--library", daemon.library, "--name", "tiny"], in: daemon.scratch)
        #expect(imported.status == 0)
        for model in ["shell", "tiny", "shell", "tiny", "shell", "tiny"] {
            let answer = try daemon.post(
                "{\"model\":\"\(model)\",\"prompt\":\"a\",\"max_tokens\":1}", to: "/v1/completions")
            #expect(answer.hasSuffix("\n200"), "\(answer)")
        }
        let lines = daemon.log.split(separator: "\n").map(String.init)
        func count(_ prefix: String) -> Int { lines.count { $0.contains(prefix) } }
        #expect(count("loading model=") == 6 && count("loaded model=") == 11, "\(lines)")
        #expect(count("replace each other on nearly every request") == 1, "\(lines)")
        let loaded = try #require(lines.first { $0.hasPrefix("loaded model=shell") })
        for field in [
            "architecture=", "file_bytes=", "seconds=", "budget_bytes=", "limit_bytes=26214400",
            "context_tokens=", "dense_resident_percent=", "expert_slots="
        ] {
            #expect(loaded.contains(" " + field), "\(loaded)")
        }
        // What was removed stays removed, although the daemon still has it in memory.
        for model in ["tiny", "shell"] {
            let removed = try Program.sluice.run(
                ["rm", model, "--library", daemon.library], in: daemon.scratch)
            #expect(removed.status == 0, "\(removed.errors)")
        }
        #expect(daemon.stop() == 0)
        #expect(try FileSystem.names(in: daemon.library) == [])
    }

    @Test func aMissingModelIsToldFromThoseThereAre() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.path("library")]
        let imported = try Program.sluice.run(
            ["import", "\(Repository.fixtures)/models/qwen3moe.gguf", "--name", "tiny"] + library,
            in: scratch)
        #expect(imported.status == 0)
        for words in [["show", "tony"], ["rm", "tony"], ["eval", "tony", "--tokens", "1"]] {
            let ending = try Program.sluice.run(words + library, in: scratch)
            #expect(ending.status == 66 && ending.errors.contains("there is 'tiny'"))
        }
        #expect(try Program.sluice.run(["show", "tiny:latest"] + library, in: scratch).status == 0)
    }
}
