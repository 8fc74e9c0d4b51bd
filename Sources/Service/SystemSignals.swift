// Signals as values: blocked in every thread, taken one by one by the thread that runs the
// lifecycle. No handler, hence nothing that must be async-signal-safe.

internal import Glibc

/// What the daemon is told from outside.
package enum DaemonSignal: Sendable, Equatable {
    /// SIGTERM or SIGINT: finish what runs, then end; the second time, end.
    case terminate
    /// SIGHUP: read the profile again.
    case reload
    /// Another thread has changed what the service manager should know.
    case changed
}

/// Where the lifecycle's signals come from.
package protocol SignalSource: Sendable {
    /// The next signal, or nil when `seconds` pass without one; nil seconds wait for ever.
    func next(within seconds: Double?) -> DaemonSignal?

    /// Makes `next` return `changed` soon; several calls may become one. Any thread may call it.
    func nudge()
}

/// The process's own signals.
package struct SystemSignals: SignalSource {
    /// What this process sends itself.
    private static let nudgeSignal = SIGUSR1

    /// Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 in the calling thread and every thread that it
    /// starts from here on, and ignores SIGPIPE. Call before any thread is started.
    package init() {
        signal(SIGPIPE, SIG_IGN)
        var set = Self.set
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var set: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP, nudgeSignal] { unsafe sigaddset(&set, number) }
        return set
    }

    package func nudge() { kill(getpid(), Self.nudgeSignal) }

    package func next(within seconds: Double?) -> DaemonSignal? {
        var set = Self.set
        let number: CInt
        if let seconds {
            let whole = seconds.rounded(.down)
            var time = timespec(tv_sec: Int(whole), tv_nsec: Int((seconds - whole) * 1e9))
            number = unsafe sigtimedwait(&set, nil, &time)
        } else {
            number = unsafe sigwaitinfo(&set, nil)
        }
        switch number {
        case SIGTERM, SIGINT: return .terminate
        case SIGHUP: return .reload
        case Self.nudgeSignal: return .changed
        default: return nil  // The time passed, or another signal interrupted the wait.
        }
    }
}
