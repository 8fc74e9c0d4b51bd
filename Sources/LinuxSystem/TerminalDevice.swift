// The terminal that a person types at, taken from line mode so that nothing is cut (a terminal's
// own lines hold 4,095 bytes, termios(3)) and given back however the process ends or stops.

internal import CLinux
internal import Glibc

/// A held terminal. There is one at a time.
package final class TerminalDevice {
    /// What comes from a terminal.
    package enum Event: Equatable {
        case bytes([UInt8])
        case resized
        /// The process had been stopped; the screen may show anything.
        case continued
        /// Nothing came in the time that was given.
        case nothing
        /// The terminal is gone, or at its end.
        case ended
    }

    private let input: Int32
    private let display: Int32
    private let notices: Int32

    /// Takes the terminal `input`, whose screen is written through `display`.
    ///
    /// - Parameter bracketsPastes: ask the terminal to mark pasted text.
    /// - Throws: `SystemError` where `input` is no terminal.
    package init(
        input: Int32, display: Int32, bracketsPastes: Bool
    ) throws(SystemError) {
        self.input = input
        self.display = display
        var notices: Int32 = -1
        let status = unsafe clinux_terminal_hold(input, display, bracketsPastes ? 1 : 0, &notices)
        guard status == 0 else { throw SystemError("tcgetattr", errorNumber: status) }
        self.notices = notices
    }

    deinit {
        clinux_terminal_release()
        close(notices)
    }

    /// Whether Ctrl-C and Ctrl-Z are signals, as while something else than typing goes on.
    package func sendsSignals(_ areSignals: Bool) { clinux_terminal_signals(areSignals ? 1 : 0) }

    /// The window's size; 80 × 24 where it is not known.
    package var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard unsafe ioctl(display, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0
        else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Waits for what comes next, up to `milliseconds`; nil waits as long as it takes.
    package func next(milliseconds: Int32?) -> Event {
        var waiting = [
            pollfd(fd: notices, events: Int16(POLLIN), revents: 0),
            pollfd(fd: input, events: Int16(POLLIN), revents: 0)
        ]
        let count = unsafe poll(&waiting, 2, milliseconds ?? -1)
        if count < 0 { return errno == EINTR ? .nothing : .ended }
        if count == 0 { return .nothing }
        if waiting[0].revents != 0, let notice = takeNotices() { return notice }
        guard waiting[1].revents != 0 else { return .nothing }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let length = unsafe read(input, &buffer, buffer.count)
        if length < 0, errno == EINTR || errno == EAGAIN { return .nothing }
        return length > 0 ? .bytes(Array(buffer[..<length])) : .ended
    }

    /// All notices as one: going on includes a new size.
    private func takeNotices() -> Event? {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe read(notices, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let continued = UInt8(CLINUX_TERMINAL_CONTINUED)
        return bytes[..<count].contains(continued) ? .continued : .resized
    }

    /// Stops the process, and whoever it is in a pipeline with, as Ctrl-Z does. Returns when it
    /// goes on; ``Event/continued`` then comes next.
    package func suspend() { kill(0, SIGTSTP) }
}

/// How wide text is on a terminal.
package enum TextColumns {
    /// The columns of a character: those of its scalars, as wcswidth(3) has it. Control characters
    /// and what cannot be printed have none.
    package static func of(_ character: Character) -> Int {
        if let byte = character.asciiValue { return byte < 0x20 || byte == 0x7F ? 0 : 1 }
        return character.unicodeScalars.reduce(0) {
            $0 + max(0, Int(clinux_scalar_columns($1.value)))
        }
    }
}
