// A program at a pseudo-terminal (pty(7)): what a person at a keyboard does, and sees.

import Glibc
import LinuxSystem
import TestSupport

/// A program that thinks a person is there. Killed when let go.
final class PseudoTerminal {
    // Glibc's overlay has neither posix_openpt(3) and its kin nor these (ioctl_tty(2),
    // posix_spawn(3)).
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430
    private static let newSession: Int16 = 0x80
    private static let setMask: Int16 = 0x08

    private let controller: Int32
    private let terminal: Int32
    private(set) var process = pid_t()
    private var isWaitedFor = false
    /// Everything that was shown.
    private(set) var shown = ""

    /// - Parameter environment: variables beside those of the tests.
    init(
        _ program: Program, _ arguments: [String], environment: [String],
        columns: UInt16 = 80, rows: UInt16 = 24
    ) throws {
        controller = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (locked, number): (Int32, UInt32) = (0, 0)
        guard controller >= 0, unsafe ioctl(controller, Self.setLock, &locked) == 0,
            unsafe ioctl(controller, Self.getNumber, &number) == 0
        else { throw SystemError("open", errorNumber: errno, subject: "/dev/ptmx") }
        let path = "/dev/pts/\(number)"
        terminal = unsafe open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = unsafe ioctl(controller, UInt(TIOCSWINSZ), &size)
        process = try Self.spawn(program, arguments, environment, terminal: path)
    }

    deinit {
        if !isWaitedFor {
            kill(process, SIGKILL)
            _ = wait()
        }
        close(controller)
        close(terminal)
    }

    private static func spawn(
        _ program: Program, _ arguments: [String], _ extra: [String], terminal: String
    ) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that a session's leader opens is the session's.
        unsafe posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, 0, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // Tests run on threads that block most signals, which programs would inherit.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, newSession | setMask)
        let names = extra.map { $0.prefix { $0 != "=" } }
        var variables: [String] = extra
        var variable = unsafe environ
        while let text = unsafe variable.pointee {
            let entry = unsafe String(cString: text)
            if !names.contains(entry.prefix { $0 != "=" }) { variables.append(entry) }
            unsafe variable += 1
        }
        let words = unsafe ([program.path] + arguments).map { unsafe strdup($0) } + [nil]
        let environment = unsafe variables.map { unsafe strdup($0) } + [nil]
        let texts = unsafe words + environment
        defer { for index in unsafe texts.indices { unsafe free(texts[index]) } }
        var process = pid_t()
        let status = unsafe posix_spawn(
            &process, program.path, &actions, &attributes, words, environment)
        guard status == 0 else {
            throw SystemError("posix_spawn", errorNumber: status, subject: program.path)
        }
        return process
    }

    func type(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // A terminal takes what its program has room for.
            let count = unsafe rest.withUnsafeBytes {
                unsafe write(controller, $0.baseAddress, min($0.count, 1024))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
            read(milliseconds: 0)
        }
    }

    /// Takes what is shown within a time. False when there was nothing.
    @discardableResult private func read(milliseconds: Int32) -> Bool {
        var waiting = [pollfd(fd: controller, events: Int16(POLLIN), revents: 0)]
        guard unsafe poll(&waiting, 1, milliseconds) > 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe Glibc.read(controller, &buffer, buffer.count)
        guard count > 0 else { return false }
        shown += String(decoding: buffer[..<count], as: UTF8.self)
        return true
    }

    /// Waits until `text` is shown after what was shown up to now, or since `mark`; false after a
    /// minute without it.
    func shows(_ text: String, after mark: Int = 0) -> Bool {
        let start = MonotonicClock.nanoseconds
        while MonotonicClock.nanoseconds - start < 60_000_000_000 {
            if String(shown.dropFirst(mark)).contains(text) { return true }
            read(milliseconds: 100)
        }
        return false
    }

    /// Types a line, and waits for `text` after it.
    func answers(_ line: String, with text: String) -> Bool {
        let mark = shown.count
        type(line + "\r")
        return shows(text, after: mark)
    }

    /// The program's exit status, or 128 and the signal's number. Killed after a minute.
    func wait() -> Int32 {
        var status: Int32 = 0
        let start = MonotonicClock.nanoseconds
        while unsafe waitpid(process, &status, WNOHANG) == 0 {
            if MonotonicClock.nanoseconds - start > 60_000_000_000 { kill(process, SIGKILL) }
            read(milliseconds: 50)
        }
        isWaitedFor = true
        read(milliseconds: 0)
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }

    /// Whether lines are edited and echoed by the terminal, as before any program changed it.
    var isInLineMode: Bool {
        var mode = termios()
        guard unsafe tcgetattr(terminal, &mode) == 0 else { return false }
        let wanted = tcflag_t(ICANON | ECHO | ISIG)
        return mode.c_lflag & wanted == wanted
    }
}
