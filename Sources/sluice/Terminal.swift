// Standard streams as commands use them. A reader that has gone ends the program quietly, as it
// would end any other; output that cannot be written is an error, never success.

internal import Glibc
internal import LinuxSystem

enum Terminal {
    static func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

    /// Whether the terminal obeys escape sequences; a "dumb" one does not (terminfo(5)).
    static var movesCursor: Bool {
        guard let name = unsafe getenv("TERM") else { return false }
        let kind = unsafe String(cString: name)
        return !kind.isEmpty && kind != "dumb" && kind != "unknown"
    }

    /// Fills the places of standard streams that are closed, so that no file opened later takes
    /// one and receives output. Writing to them still fails (EBADF).
    static func occupyStandardStreams() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free number is this one.
            _ = unsafe open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }

    /// Writes text as it is, at once. Output that cannot be written ends the program.
    static func write(_ text: String, to descriptor: CInt = STDOUT_FILENO) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                if errno == EPIPE { endByBrokenPipe() }
                // Where errors cannot be told there is nothing to tell.
                guard descriptor == STDOUT_FILENO else { return }
                let reason = unsafe String(cString: strerror(errno))
                complain("standard output: \(reason)")
                exit(ExitStatus.inputOutput.rawValue)
            }
            rest = rest.dropFirst(count)
        }
    }

    static func line(_ text: String) { write(text + "\n") }

    /// An error as one line on standard error.
    static func complain(_ text: String) {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        write("sluice: \(line)\n", to: STDERR_FILENO)
    }

    /// Ends as SIGPIPE would have, had the event loop not ignored it.
    private static func endByBrokenPipe() -> Never {
        signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
        exit(128 + SIGPIPE)
    }

    /// Standard input to its end. nil beyond `bytesMax`.
    static func readInput(bytesMax: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= bytesMax else { return nil }
            bytes += buffer[..<count]
        }
    }

    /// `rows` as columns, each as wide as its widest cell.
    static func table(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                guard column + 1 < row.count else { continue }
                line += String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            return line + "\n"
        }.joined()
    }

    /// A time for reading, local: `2026-05-17 09:30`.
    static func date(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        guard unsafe localtime_r(&time, &parts) != nil else { return "-" }
        var buffer = [CChar](repeating: 0, count: 32)
        let count = unsafe strftime(&buffer, buffer.count, "%Y-%m-%d %H:%M", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
