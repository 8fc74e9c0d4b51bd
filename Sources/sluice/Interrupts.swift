// Ctrl-C as a call, so that it can end a generation and not the program.

internal import Dispatch
internal import Glibc
internal import Synchronization

/// Takes SIGINT from its first use on, which is before any other thread is started. There is one:
/// two would take each other's.
final class Interrupts: Sendable {
    static let shared = Interrupts()

    private let action = Mutex<@Sendable () -> Void>({ exit(128 + SIGINT) })

    private init() {
        var set = Self.set
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        DispatchQueue.global().async { [self] in
            while true {
                var set = Self.set
                guard unsafe sigwaitinfo(&set, nil) == SIGINT else { continue }
                action.withLock { $0 }()
            }
        }
    }

    private static var set: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGINT)
        return set
    }

    /// What Ctrl-C does until this is set again; at first it ends the program.
    func set(action: @escaping @Sendable () -> Void) { self.action.withLock { $0 = action } }

    /// Runs `body` with `action` for Ctrl-C; afterwards it does what it did before.
    func with<Result>(
        action: @escaping @Sendable () -> Void, _ body: () throws -> Result
    ) rethrows -> Result {
        let previous = self.action.withLock { current in
            defer { current = action }
            return current
        }
        defer { set(action: previous) }
        return try body()
    }
}
