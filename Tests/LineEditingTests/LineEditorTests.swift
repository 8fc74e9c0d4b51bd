// The editor against a terminal's screen: what is submitted, and what is seen meanwhile.

import LineEditing
import Testing

/// An editor and the screen that it writes to.
private struct Typist {
    var editor: LineEditor
    var terminal: VirtualTerminal
    var outcomes: [LineEditor.Outcome] = []

    init(
        style: LineEditor.Style = .full, columns: Int = 20, height: Int = 6,
        history: History = History()
    ) {
        editor = LineEditor(style: style, columns: columns, rows: height, history: history)
        terminal = VirtualTerminal(columns: columns, height: height)
        terminal.write(editor.begin(prompt: "> "))
    }

    /// Types text and keys, in pieces of `pieces` bytes.
    mutating func type(_ text: String, pieces: Int = .max) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            editor.feed(Array(rest.prefix(pieces)))
            rest = rest.dropFirst(pieces)
            work()
        }
    }

    private mutating func work() {
        repeat {
            let (screen, outcome) = editor.step()
            terminal.write(screen)
            guard let outcome else { continue }
            outcomes.append(outcome)
            if case .submitted(let line) = outcome { editor.remember(line) }
            terminal.write(outcome == .tooLong ? editor.redrawn() : editor.begin(prompt: "> "))
        } while editor.hasMore
    }

    /// What has been submitted.
    var lines: [String] {
        outcomes.compactMap { if case .submitted(let line) = $0 { line } else { nil } }
    }
}

private let (left, right, up, down) = ("\u{1B}[D", "\u{1B}[C", "\u{1B}[A", "\u{1B}[B")

@Suite struct LineEditorTests {
    @Test(arguments: [
        ("hello\r", "hello"), ("helo\(left)l\r", "hello"), ("abc\u{1}x\u{5}y\r", "xabcy"),
        ("one two\u{17}three\r", "one three"), ("one two\u{15}three\r", "three"),
        ("one two\u{1}\u{B}three\r", "three"), ("ab\(left)\u{4}c\r", "ac"),
        ("ab\(left)\u{1B}[3~c\r", "ac"), ("one two\u{1B}bx\r", "one xtwo"),
        ("abc\u{15}x\u{19}\r", "xabc"), ("日本\u{7F}\r", "日"), ("e\u{301}x\u{7F}\u{7F}y\r", "y"),
        ("👨‍👩‍👧\u{7F}a\r", "a"), ("🇩🇪🇫🇷\u{7F}\r", "🇩🇪"), ("a\u{7F}\u{7F}\u{7F}b\r", "b"),
        ("a\u{1B}\rb\r", "a\nb"), ("\u{1B}[200~a\rb\rc\u{1B}[201~\r", "a\nb\nc"),
        ("\"\"\"\ra\rb\"\"\"\r", "\"\"\"\na\nb\"\"\""), ("\"\"\"one\"\"\"\r", "\"\"\"one\"\"\""),
        ("a\u{1B}[200~\u{3}\u{1B}[201~b\r", "a\u{3}b")
    ])
    func whatIsTyped(keys: String, line: String) {
        for pieces in [1, Int.max] {
            var typist = Typist()
            typist.type(keys, pieces: pieces)
            #expect(typist.lines == [line], "in pieces of \(pieces)")
        }
    }

    @Test func longLinesWrapAndNothingOfThemIsCut() {
        let line = String((0..<6000).map { Character(UnicodeScalar(UInt8(97 + $0 % 26))) })
        var typist = Typist(columns: 80, height: 24)
        typist.type(line, pieces: 100)
        // The window shows the end.
        #expect(typist.terminal.text.joined().hasSuffix(line.suffix(1500)))
        typist.type("\u{7F}!\r")
        #expect(typist.lines == [line.dropLast() + "!"])
    }

    @Test func wideCharactersTakeTwoColumnsAndLeaveAsAWhole() {
        var typist = Typist(columns: 10)
        typist.type("日本語x")
        #expect(typist.terminal.text == ["> 日本語x"] && typist.terminal.column == 9)
        typist.type("語")
        #expect(typist.terminal.text == ["> 日本語x", "語"])
        typist.type("\u{7F}\u{7F}\u{7F}")
        #expect(typist.terminal.text == ["> 日本"] && typist.terminal.column == 6)
        typist.type(left + left + "e\u{301}")
        #expect(typist.terminal.text == ["> e\u{301}日本"] && typist.terminal.column == 3)
    }

    @Test func historyComesBackAndTheLineBeingTypedToo() {
        var typist = Typist()
        typist.type("one\rtwo\rthr\(up)")
        #expect(typist.terminal.text.last == "> two")
        typist.type(up + up)
        #expect(typist.terminal.text.last == "> one")
        typist.type(down + down)
        #expect(typist.terminal.text.last == "> thr")
        typist.type(up + "!\r")
        #expect(typist.lines == ["one", "two", "two!"])
    }

    @Test func controlKeysHaveOutcomes() {
        var typist = Typist()
        typist.type("abc\u{3}\u{3}\u{1A}\u{4}")
        #expect(
            typist.outcomes == [
                .interrupted(hadText: true), .interrupted(hadText: false), .suspended, .ended
            ])
        typist.type("x\u{C}")
        #expect(typist.terminal.text == ["> x"])
    }

    @Test func whatIsTooLongIsRefusedAndTheLineStays() {
        var typist = Typist()
        let body = String(repeating: "x", count: LineEditor.bytesMax)
        typist.type("ab\u{1B}[200~\(body)\u{1B}[201~c\r")
        #expect(typist.outcomes == [.tooLong, .submitted("abc")])
    }

    @Test func controlCharactersNeverReachTheTerminal() {
        var typist = Typist()
        typist.type("\u{1B}[200~a\u{1B}]0;x\u{7}\u{9B}b\u{1B}[201~")
        #expect(typist.terminal.text == ["> a^[]0;x^G\u{FFFD}b"])
    }

    /// Any keys in any order: the screen shows the line as one that is drawn from nothing.
    @Test func screenIsRightWhateverIsTyped() {
        let parts = [
            "a", "日", "e\u{301}", "word ", left, right, up, down, "\u{1}", "\u{5}", "\u{7F}",
            "\u{4}x", "\u{17}", "\u{B}", "\u{19}", "\u{1B}\r", "\u{1B}b", "\u{1B}f",
            "\u{1B}[200~x\ry 語\u{1B}[201~", "\u{C}"
        ]
        var random = SystemRandomNumberGenerator()
        for columns in [8, 9, 13, 40] {
            var keys = ""
            var typist = Typist(columns: columns, height: 5)
            for _ in 0..<300 {
                let part = parts.randomElement(using: &random) ?? ""
                keys += part
                typist.type(part)
                // What a terminal shows when all of it is written at once.
                var fresh = VirtualTerminal(columns: columns, height: 5)
                var copy = typist.editor
                fresh.write(copy.redrawn())
                #expect(
                    typist.terminal.text.suffix(fresh.text.count) == fresh.text[...],
                    "\(columns) columns, \(keys.debugDescription)")
                #expect(typist.terminal.column == fresh.column)
                guard typist.terminal.text.suffix(fresh.text.count) == fresh.text[...] else {
                    return
                }
            }
        }
    }

    @Test func resizingDrawsTheLineAgain() {
        var typist = Typist(columns: 20)
        typist.type("0123456789012345678901234")
        #expect(typist.terminal.text == ["> 012345678901234567", "8901234"])
        let wider = VirtualTerminal(columns: 40, height: 6)
        typist.terminal = wider
        typist.terminal.write(typist.editor.resize(columns: 40, rows: 6))
        #expect(typist.terminal.text == ["> 0123456789012345678901234"])
    }

    @Test func plainTerminalsGetNoEscapes() {
        var typist = Typist(style: .plain, columns: 30)
        typist.type("hello\u{7F}\u{7F}p!\(left)\u{1}x")
        #expect(typist.terminal.text == ["> help!x"])
        typist.type("\r日本\u{7F}\(up)")
        #expect(typist.terminal.text == ["> help!x", "> help!x"])
        typist.type("\u{15}\"\"\"\ra\rb\"\"\"\r")
        #expect(typist.lines == ["help!x", "\"\"\"\na\nb\"\"\""])
    }
}

@Suite struct HistoryTests {
    @Test func survivesItsFile() {
        var history = History()
        for line in ["one", "two\nlines", "back\\slash \\n", "two\nlines"] { history.add(line) }
        #expect(History(file: history.file).entries == history.entries)
        #expect(history.file.split(separator: 10).count == 4)
    }

    @Test func isBounded() {
        var history = History()
        for index in 0..<2 * History.entriesMax { history.add("\(index)") }
        #expect(history.entries.count == History.entriesMax && history.entries.last == "1999")
        let long = String(repeating: "x", count: History.bytesMax / 2)
        for index in 0..<4 { history.add("\(index)" + long) }
        #expect(history.file.count <= History.bytesMax + 2 * History.entriesMax)
        for line in ["", " secret", history.entries.last ?? ""] { history.add(line) }
        #expect(history.entries.count == 1)
    }
}

@Suite struct ChatLineTests {
    @Test(arguments: [
        ("hello", ChatLine.prompt("hello")), ("  ", .nothing), ("/help", .help), ("/?", .help),
        ("/clear ", .clear), ("/drop", .drop(1)), ("/drop 3", .drop(3)), ("/bye", .bye),
        ("/drop x", .unknown("/drop x")), ("/frob", .unknown("/frob")),
        ("/help me", .unknown("/help")), ("//help", .prompt("/help")),
        ("/etc/hosts is what?", .prompt("/etc/hosts is what?")), ("/", .unknown("/")),
        ("\"\"\"one\"\"\"", .prompt("one")), ("\"\"\"\na\nb\n\"\"\"", .prompt("a\nb")),
        ("\"\"\"\n/help\n\"\"\"", .prompt("/help")), ("\"\"\"\"\"\"", .nothing),
        ("\"\"\" x", .prompt(" x"))
    ])
    func meanings(line: String, meaning: ChatLine) {
        #expect(ChatLine(line) == meaning)
    }
}
