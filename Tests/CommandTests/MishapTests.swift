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

    /// Before a prompt is read, which would be for nothing.
    @Test func anUnknownModelIsSaidFirst() throws {
        let daemon = try Daemon()
        let ending = try Program.sluice.run(
            ["run", "--socket", daemon.socket, "nobody"], in: daemon.scratch, input: "/dev/zero")
        #expect(ending.status == 66, "\(ending.errors)")
        #expect(ending.errors.contains("no model 'nobody'; there is 'shell'"), "\(ending.errors)")
        #expect(daemon.stop() == 0)
    }
}
