// A chat as a person at a terminal has it: nothing that is typed or pasted is cut, commands are the
// chat's own, a full context is said and not the end, and the terminal is given back.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct TerminalTests {
    private let scratch: Scratch
    private static let common = ["--temperature", "0", "--memory", "26M"]

    init() throws { scratch = try Scratch() }

    /// A chat with the bundled model, at its first prompt.
    private func chat(
        _ extra: [String] = ["--max-tokens", "4"], terminal: String = "xterm"
    ) throws -> PseudoTerminal {
        let person = try PseudoTerminal(
            Program.sluice,
            ["run", "--local", "--library", scratch.path("library")] + Self.common + extra
                + [Repository.model],
            environment: ["TERM=" + terminal, "XDG_STATE_HOME=" + scratch.path("state")])
        #expect(person.shows(">>> "), "\(person.shown)")
        return person
    }

    private func end(_ person: PseudoTerminal) {
        person.type("/bye\r")
        #expect(person.wait() == 0)
        #expect(person.isInLineMode && !person.shown.hasSuffix("\u{1B}[?2004h"))
    }

    /// A terminal's own lines end at 4,095 bytes.
    @Test(arguments: ["xterm", "dumb"])
    func longLinesArriveWhole(terminal: String) throws {
        let line = (0..<1500).map { "w\($0 % 10)  " }.joined() + "end"
        #expect(line.utf8.count > 6000)
        let alone = try Program.sluice.run(
            ["run", "--local", "--library", scratch.path("library")] + Self.common
                + [Repository.model, line], in: scratch)
        let complaint = try #require(alone.errorLines.first { $0.contains("the prompt has") })
        let refusal = String(complaint.dropFirst("sluice: ".count))
        let person = try chat(terminal: terminal)
        #expect(person.answers(line, with: refusal), "\(person.shown)")
        #expect(person.answers("/help", with: "/clear"))
        end(person)
    }

    @Test func pastedLinesAreOnePrompt() throws {
        let person = try chat(["--max-tokens", "4", "--stats"])
        #expect(person.shown.contains("\u{1B}[?2004h"))
        let paste = "\u{1B}[200~What is curl?\rWhat is tar?\rWhat is ls?\u{1B}[201~"
        #expect(person.answers(paste, with: "first token after"), "\(person.shown)")
        #expect(person.answers("\"\"\"\rWhat is\rcurl?\"\"\"", with: "first token after"))
        #expect(person.answers("/help", with: "/clear"))
        #expect(person.shown.split(separator: "first token after").count == 3, "\(person.shown)")
        end(person)
    }

    @Test func charactersAreErasedWhole() throws {
        let person = try chat()
        // What is left of half a character would make this no command.
        #expect(person.answers("日本e\u{301}👨‍👩‍👧\u{7F}\u{7F}\u{7F}\u{7F}/help", with: "/clear"))
        #expect(person.answers("help\u{1}/", with: "/clear"))
        end(person)
    }

    @Test func commandsAreNotSentToTheModel() throws {
        let person = try chat(["--max-tokens", "4", "--stats"])
        #expect(person.answers("/frobnicate", with: "no command '/frobnicate'"))
        #expect(person.answers("/drop", with: "no turn to forget"))
        #expect(!person.shown.contains("first token after"))
        #expect(person.answers("//frobnicate", with: "first token after"))
        #expect(person.answers("/drop 5", with: "0 are left"))
        end(person)
    }

    @Test func whatWasTypedComesBack() throws {
        let person = try chat()
        #expect(person.answers("/help", with: "/clear") && person.answers("/drop", with: "no turn"))
        #expect(person.answers(" /drop", with: "no turn"))
        end(person)
        let path = scratch.path("state/sluice/history")
        #expect(
            fileBytes(path).map { String(decoding: $0, as: UTF8.self) } == "/help\n/drop\n/bye\n")
        var status = stat()
        #expect(unsafe stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        // /bye, /drop, /help.
        let next = try chat()
        #expect(next.answers("\u{1B}[A\u{1B}[A\u{1B}[A", with: "/clear"), "\(next.shown)")
        end(next)
        let silent = try chat(["--no-history"])
        #expect(silent.answers("/drop", with: "no turn"))
        end(silent)
        #expect(fileBytes(path)?.count == 28)
    }

    /// A turn that does not fit is not kept: a shorter one does.
    @Test func aFullContextIsSaidAndNotTheEnd() throws {
        let person = try chat()
        let long = (0..<190).map { "w\($0 % 10)" }.joined(separator: " ")
        #expect(
            person.answers(long, with: "of the context's 512 tokens are used"), "\(person.shown)")
        #expect(person.answers(long, with: "/drop makes room"), "\(person.shown)")
        #expect(person.answers("Hi", with: "tokens are used"), "\(person.shown)")
        #expect(person.answers("/drop", with: "1 is left"))
        #expect(person.answers("/clear", with: "forgotten"))
        #expect(person.answers(long, with: "tokens are used"))
        end(person)
    }

    @Test func oldestTurnsAreDroppedWhereThatIsAskedFor() throws {
        let person = try chat(["--max-tokens", "4", "--drop-oldest"])
        let long = (0..<190).map { "w\($0 % 10)" }.joined(separator: " ")
        #expect(person.answers(long, with: "tokens are used"), "\(person.shown)")
        #expect(person.answers(long, with: "Forgotten: the oldest turn. 0 are left."))
        #expect(person.shows("tokens are used", after: person.shown.count - 200))
        end(person)
    }

    @Test func interruptsEndAnswersAndThenNothing() throws {
        let person = try chat(["--temperature", "9", "--top-k", "0", "--top-p", "1"])
        person.type("What is curl?\r")
        Thread.sleep(microseconds: 300_000)
        let mark = person.shown.count
        person.type("\u{3}")
        #expect(person.shows(">>> ", after: mark), "\(person.shown)")
        person.type("not sent\u{3}")
        #expect(person.shows("^C"))
        #expect(person.answers("\u{3}", with: "ends the chat"))
        person.type("\u{4}")
        #expect(person.wait() == 0 && person.isInLineMode)
    }

    @Test(arguments: [SIGTERM, SIGHUP, SIGSEGV, SIGABRT])
    func theTerminalIsGivenBack(signal: Int32) throws {
        let person = try chat()
        #expect(!person.isInLineMode)
        kill(person.process, signal)
        #expect(person.wait() == 128 + signal)
        #expect(person.isInLineMode)
    }

    @Test func whatWasStoppedGoesOn() throws {
        let person = try chat()
        person.type("/hel")
        #expect(person.shows("/hel"))
        kill(person.process, SIGSTOP)
        let mark = person.shown.count
        kill(person.process, SIGCONT)
        #expect(person.shows(">>> /hel", after: mark), "\(person.shown.debugDescription)")
        #expect(person.answers("p", with: "/clear"))
        end(person)
    }
}
