// Lines that a person types: the line editor at the terminal, and the history it keeps.

internal import Glibc
internal import LineEditing
internal import LinuxSystem

/// Reads lines from the terminal that standard input is. Holds it until it is let go.
final class LineReader {
    private static let prompt = ">>> "
    /// How long the rest of an escape sequence may take.
    private static let escapeMilliseconds: Int32 = 50

    private let device: TerminalDevice
    private let display: CInt
    private var editor: LineEditor
    /// Nil keeps nothing on disk.
    private var file: HistoryFile?

    /// - Throws: `SystemError` where standard input is no terminal.
    init(keepsHistory: Bool) throws(SystemError) {
        display =
            [STDERR_FILENO, STDOUT_FILENO].first(where: Terminal.isTerminal) ?? STDIN_FILENO
        let isFull = Terminal.movesCursor
        device = try TerminalDevice(
            input: STDIN_FILENO, display: display, bracketsPastes: isFull)
        var history = History()
        if keepsHistory {
            do throws(SystemError) {
                let file = HistoryFile()
                history = try file.read()
                self.file = file
            } catch {
                Terminal.complain("the history is not kept: \(error)")
            }
        }
        let size = device.size
        editor = LineEditor(
            style: isFull ? .full : .plain, columns: size.columns, rows: size.rows,
            history: history)
    }

    /// The next line; nil at the end of input. Ctrl-C begins a new one.
    func next() -> String? {
        device.sendsSignals(false)
        defer { device.sendsSignals(true) }
        show(editor.begin(prompt: Self.prompt))
        while true {
            let (screen, outcome) = editor.step()
            show(screen)
            switch outcome {
            case .submitted(let line):
                remember(line)
                return line
            case .ended: return nil
            case .interrupted(let hadText):
                if !hadText { say("/bye or Ctrl-D ends the chat.") }
                show(editor.begin(prompt: Self.prompt))
            case .suspended: device.suspend()
            case .tooLong:
                say("not taken: a prompt has at most \(LineEditor.bytesMax >> 20) MiB")
                show(editor.redrawn())
            case nil:
                guard take() else { return nil }
            }
        }
    }

    /// Writes a line to whoever types.
    func say(_ text: String) { show(text + "\n") }

    private func show(_ text: String) {
        if !text.isEmpty { Terminal.write(text, to: display) }
    }

    /// Waits for input, and gives it to the editor. False at its end.
    private func take() -> Bool {
        let wait = editor.isUndecided ? Self.escapeMilliseconds : nil
        switch device.next(milliseconds: wait) {
        case .bytes(let bytes): editor.feed(bytes)
        case .nothing: editor.settle()
        case .resized:
            let size = device.size
            show(editor.resize(columns: size.columns, rows: size.rows))
        case .continued: show("\r" + editor.redrawn())
        case .ended: return false
        }
        return true
    }

    private func remember(_ line: String) {
        editor.remember(line)
        do throws(SystemError) {
            try file?.add(line)
        } catch {
            say("the history is not kept: \(error)")
            file = nil
        }
    }
}
