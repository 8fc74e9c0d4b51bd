// One line for each thing worth knowing, on standard error. Under journald each line carries its
// level as `<N>` (sd-daemon(3)). Prompts and answers never get here.

internal import Glibc
package import Knobs
internal import LinuxSystem
internal import Synchronization

/// Writes log lines. Any thread may log.
package final class Log: Sendable {
    private let level: Mutex<LogLevel>
    private let hasPriorities: Bool
    private let write: @Sendable (String) -> Void

    /// `write` gets whole lines with their newline.
    package init(
        level: LogLevel, hasPriorities: Bool, write: @escaping @Sendable (String) -> Void
    ) {
        self.level = Mutex(level)
        self.hasPriorities = hasPriorities
        self.write = write
    }

    /// Logs to standard error, with priorities when journald is at its other end.
    package static func standardError(level: LogLevel) -> Log {
        Log(level: level, hasPriorities: standardErrorIsJournal()) { line in
            let bytes = Array(line.utf8)
            // A log that cannot be written is nothing to fail over.
            _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
        }
    }

    package func set(level: LogLevel) { self.level.withLock { $0 = level } }

    /// Logs `message` and `fields` as `key=value`. Control characters become spaces.
    package func log(
        _ level: LogLevel, _ message: String, _ fields: KeyValuePairs<String, String> = [:]
    ) {
        log(level, message, fields: fields.map { ($0.key, $0.value) })
    }

    /// As `log(_:_:_:)`, for fields that are put together.
    package func log(_ level: LogLevel, _ message: String, fields: [(String, String)]) {
        guard level <= self.level.withLock({ $0 }) else { return }
        var line = hasPriorities ? "<\(level.priority)>" : ""
        var text = message
        for (name, value) in fields { text += " \(name)=\(value)" }
        for scalar in text.unicodeScalars {
            line.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F ? " " : scalar)
        }
        write(line + "\n")
    }

    /// journald says which file it reads in `$JOURNAL_STREAM`, as device:inode (systemd.exec(5)).
    private static func standardErrorIsJournal() -> Bool {
        guard let stream = SystemCalls.environment("JOURNAL_STREAM"),
            let status = try? SystemCalls.status(descriptor: STDERR_FILENO)
        else { return false }
        return stream == "\(status.device):\(status.inode)"
    }
}
