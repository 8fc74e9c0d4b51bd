// What systemd and the daemon tell each other: readiness and status datagrams (sd_notify(3)), the
// watchdog's period, and sockets handed over (sd_listen_fds(3)). The protocols are a datagram and
// three variables; linking libsystemd for them would cost an idle daemon more than it says.

internal import Glibc
package import Knobs
internal import LinuxSystem

/// The service manager's end, or nobody when there is none.
package struct ServiceManager: Sendable {
    private let notifyPath: String?
    /// Send a sign of life at least this often; nil when nobody waits for one.
    package let watchdogMicroseconds: UInt64?

    /// From `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    package init() {
        self.init(
            notifyPath: SystemCalls.environment("NOTIFY_SOCKET"),
            watchdogMicroseconds: Self.watchdogFromEnvironment())
    }

    package init(notifyPath: String?, watchdogMicroseconds: UInt64?) {
        self.notifyPath = notifyPath
        self.watchdogMicroseconds = notifyPath == nil ? nil : watchdogMicroseconds
    }

    package var isPresent: Bool { notifyPath != nil }

    private static func watchdogFromEnvironment() -> UInt64? {
        guard let period = SystemCalls.environment("WATCHDOG_USEC").flatMap({ UInt64($0) }),
            period > 0
        else { return nil }
        let process = SystemCalls.environment("WATCHDOG_PID").flatMap { pid_t($0) }
        return process == nil || process == getpid() ? period : nil
    }

    /// Sends variables, one on each line. A manager that does not listen is not our failure.
    private func send(_ lines: [String]) {
        guard let notifyPath else { return }
        let descriptor = socket(
            AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array(lines.joined(separator: "\n").utf8)
        _ = unsafe try? SystemCalls.withAddress(notifyPath) { address, length in
            let sent = unsafe sendto(
                descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), address, length)
            return sent < 0 ? -1 : 0
        }
    }

    package func ready(_ status: String) { send(["READY=1", "STATUS=\(status)"]) }

    package func status(_ status: String) { send(["STATUS=\(status)"]) }

    /// Reloading has begun; `ready(_:)` ends it.
    package func reloading() {
        send(["RELOADING=1", "MONOTONIC_USEC=\(MonotonicClock.microseconds)"])
    }

    /// Stopping has begun and may take this long.
    package func stopping(_ status: String, seconds: Int) {
        send([
            "STOPPING=1", "STATUS=\(status)",
            "EXTEND_TIMEOUT_USEC=\((UInt64(seconds) + 5) * 1_000_000)"
        ])
    }

    package func alive() { send(["WATCHDOG=1"]) }

    // MARK: sockets handed over

    /// The first descriptor that is handed over.
    private static let firstDescriptor: CInt = 3

    /// Takes the sockets that the manager handed to this process: listening Unix stream sockets,
    /// ready for an event loop. Empty when there are none. Throws `ConfigurationError` for any
    /// other kind of descriptor. The variables are removed, so that no child takes them again.
    package static func takeSockets() throws(ConfigurationError) -> [CInt] {
        defer {
            for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsafe unsetenv(name) }
        }
        guard let process = SystemCalls.environment("LISTEN_PID").flatMap({ pid_t($0) }),
            process == getpid(),
            let count = SystemCalls.environment("LISTEN_FDS").flatMap({ CInt($0) }),
            count > 0, count <= 16
        else { return [] }
        let descriptors = (0..<count).map { firstDescriptor + $0 }
        for descriptor in descriptors {
            guard isListeningUnixStream(descriptor) else {
                throw ConfigurationError(
                    file: "socket unit",
                    "descriptor \(descriptor) is not a listening Unix stream socket")
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        }
        return descriptors
    }

    static func isListeningUnixStream(_ descriptor: CInt) -> Bool {
        func option(_ name: CInt) -> CInt? {
            var value: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            return unsafe getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0
                ? value : nil
        }
        return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == CInt(SOCK_STREAM.rawValue)
            && option(SO_ACCEPTCONN) == 1
    }
}
