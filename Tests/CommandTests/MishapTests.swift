// What is interrupted, cut short, changed under way or mistyped, and what is said then.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct MishapTests {
    /// Whether `condition` holds within ten seconds.
    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<20_000 {
            if condition() { return true }
            Thread.sleep(microseconds: 500)
        }
        return false
    }

    /// Every command says for which context, and what a shorter one needs.
    @Test func whatIsNeededIsSaidWithTheContext() throws {
        let scratch = try Scratch()
        let budget = ["--memory", "20M", "--context", "512", "--library", scratch.folder]
        let commands = [
            ["show", Repository.model], ["run", "--local", Repository.model, "a"],
            ["eval", Repository.model, "--text", "a"]
        ]
        for command in commands {
            let ending = try Program.sluice.run(command + budget, in: scratch)
            #expect(ending.status == 78, "\(ending.errors)")
            #expect(ending.errors.contains("are needed for a context of 512 tokens ("))
            #expect(ending.errors.contains(" MiB for one of 64): process"), "\(ending.errors)")
        }
        let short = ["--context", "64", "--memory", "19M", "--library", scratch.folder]
        let ending = try Program.sluice.run(["show", Repository.model] + short, in: scratch)
        #expect(ending.errors.contains("for a context of 64 tokens: process"), "\(ending.errors)")
    }

    /// Ctrl-C leaves nothing in the library, not even hidden.
    @Test func anInterruptedImportLeavesNothing() throws {
        let scratch = try Scratch()
        let library = scratch.path("library")
        for attempt in 0..<20 {
            let program = try Program.sluice.start(
                ["import", Repository.model, "--library", library, "--name", "m\(attempt)"],
                in: scratch)
            let isUnderWay = eventually {
                (try? FileSystem.names(in: library).isEmpty) == false
            }
            program.signal(SIGINT)
            let ending = program.wait()
            #expect(isUnderWay, "\(ending.errors)")
            let left = try FileSystem.names(in: library)
            guard ending.status == 0 else {
                #expect(ending.status == 130 && left.isEmpty, "\(ending.status) \(left)")
                return
            }
            // It was faster.
            try FileSystem.remove("\(library)/m\(attempt).sluice")
        }
        Issue.record("no import could be interrupted")
    }

    /// Who waits for an answer that a stopping service cuts short learns that it stops.
    @Test func anAnswerThatIsCutSaysWhy() throws {
        let daemon = try Daemon(profile: "[service]\ndrain_seconds = 0\n")
        let client = try daemon.start("What is curl?", DaemonTests.longAnswer)
        #expect(eventually { daemon.log.contains("loaded model=") })
        Thread.sleep(microseconds: 200_000)
        #expect(daemon.stop() == 0)
        let ending = client.wait()
        #expect(ending.status != 0 && ending.errors.contains("going down"), "\(ending.errors)")
    }

    @Test func whatAReloadCannotChangeIsNamed() throws {
        let daemon = try Daemon(profile: "[service]\ndefault_model = \"shell\"\n")
        func reload(_ profile: String, _ said: String) throws {
            _ = try daemon.scratch.write(Array(profile.utf8), to: "p.toml")
            daemon.process.signal(SIGHUP)
            #expect(eventually { daemon.log.contains(said) }, "\(daemon.log)")
        }
        try reload(
            "[service]\ndefault_model = \"shell\"\ndrain_seconds = 1\n", "profile read again\n")
        // The command line has set the budget.
        try reload(
            "[service]\ndefault_model = \"b\"\n[memory]\nbudget = \"1G\"\n[kv]\nbits = 32\n",
            "needs a restart keys=service.default_model\n")
        #expect(daemon.stop() == 0)
    }

    /// The next request has what the profile says by then.
    @Test func aReloadChangesHowModelsRun() throws {
        let daemon = try Daemon(profile: "[kv]\nbits = 16\n")
        let order = "{\"model\":\"shell\",\"prompt\":\"a\",\"max_tokens\":1}"
        func ask() throws {
            #expect(try daemon.post(order, to: "/v1/completions").hasSuffix("\n200"))
        }
        func reload(_ profile: String, times: Int) throws {
            _ = try daemon.scratch.write(Array(profile.utf8), to: "p.toml")
            daemon.process.signal(SIGHUP)
            #expect(
                eventually {
                    daemon.log.split(separator: "\n").count { $0.contains("profile read") } == times
                }, "\(daemon.log)")
        }
        try ask()
        #expect(daemon.log.contains("kv_bits=16"), "\(daemon.log)")
        // What is no model's leaves it as it is.
        let others = "[service]\nqueue_max = 3\nkeep_alive_seconds = 900\n"
        try reload("[kv]\nbits = 16\n" + others, times: 1)
        try ask()
        #expect(!daemon.log.contains("unloaded"))
        try reload("[kv]\nbits = 8\n", times: 2)
        try ask()
        #expect(daemon.log.contains("unloaded model=shell"), "\(daemon.log)")
        #expect(daemon.log.contains("kv_bits=8"), "\(daemon.log)")
        #expect(!daemon.log.contains("restart"))
        #expect(daemon.stop() == 0)
    }

    /// Before a prompt is read, which would be for nothing.
    @Test func anUnknownModelIsSaidFirst() throws {
        let daemon = try Daemon()
        let ending = try Program.sluice.run(
            ["run", "--socket", daemon.socket, "nobody"], in: daemon.scratch, input: "/dev/zero")
        #expect(ending.status == 66, "\(ending.errors)")
        #expect(ending.errors.contains("no model 'nobody'; there is 'shell'"), "\(ending.errors)")
        #expect(daemon.stop() == 0)
    }

    /// Clients learn which model is damaged, the log where its file lies.
    @Test func clientsAreNotToldWhereFilesLie() throws {
        let daemon = try Daemon()
        let path = "\(daemon.library)/shell.sluice"
        let whole = try #require(fileBytes(path))
        let order = "{\"model\":\"shell\",\"prompt\":\"a\",\"max_tokens\":1}"
        let file = try FileDescriptor(path: path, mode: .readWrite)
        // While it is loaded, and when it is to be.
        #expect(try daemon.post(order, to: "/v1/completions").hasSuffix("\n200"))
        for count in [whole.count / 2, 100] {
            try file.truncate(byteCount: UInt64(count))
            let answer = try daemon.post(order, to: "/v1/completions")
            #expect(answer.hasSuffix("\n500") && answer.contains("shell"), "\(answer)")
            #expect(!answer.contains(daemon.scratch.folder), "\(answer)")
        }
        #expect(daemon.log.contains(path), "\(daemon.log)")
        #expect(daemon.stop() == 0)
    }

    /// Nor by what is said of a loaded model, or of the library.
    @Test func modelsAreListedWithoutPlaces() throws {
        let daemon = try Daemon(profile: "[weights]\nsparse = \"predicted\"\n")
        let imported = try Program.sluice.run(
            [
                "import", "\(Repository.fixtures)/models/arcee.gguf", "--library",
                daemon.library, "--name", "sparse"
            ], in: daemon.scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        _ = try daemon.scratch.write(
            Array("nonsense".utf8), to: "library/sparse.sluice.predictors")
        let order = "{\"model\":\"sparse\",\"prompt\":\"a\",\"max_tokens\":1}"
        #expect(try daemon.post(order, to: "/v1/completions").hasSuffix("\n200"))
        let model = try daemon.request(["/v1/models/sparse"])
        #expect(model.contains("predictors cannot be used"), "\(model)")
        #expect(!model.contains(daemon.scratch.folder), "\(model)")
        #expect(daemon.log.contains("\(daemon.library)/sparse.sluice.predictors"))
        Scratch.removeTree(daemon.library)
        _ = try daemon.scratch.write([], to: "library")
        let models = try daemon.request(["/v1/models"])
        #expect(models.contains("the library cannot be read"), "\(models)")
        #expect(!models.contains(daemon.scratch.folder), "\(models)")
        #expect(daemon.stop() == 0)
    }
}
