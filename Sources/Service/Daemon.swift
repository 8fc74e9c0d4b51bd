// The daemon's life: socket, service, serving, reloading, draining, end. One thread, the one that
// calls `run`, takes signals one by one; nothing here is asynchronous.

package import GenerationAPI
internal import Glibc
internal import HTTPInterface
package import Knobs
internal import Library
internal import LinuxSystem
package import Memory
internal import NIOCore
internal import NIOPosix

/// A service that has something to give back before the process ends, such as an engine thread.
package protocol StoppableService: GenerationService {
    /// Returns once the service is idle and its threads have ended, or get nowhere.
    func stop()

    /// What it got done so far.
    var progress: EngineProgress { get }

    /// What is held of the memory budget; nil where nobody knows.
    var heldMemory: MemoryPlan? { get }

    /// Takes over what a profile says that was read again.
    ///
    /// - Parameter before: the profile until then.
    func update(_ configuration: DaemonConfiguration, from before: Profile, log: Log)
}

extension StoppableService {
    package var heldMemory: MemoryPlan? { nil }
    package func update(_ configuration: DaemonConfiguration, from before: Profile, log: Log) {}
}

/// Runs the daemon with the process's signals, service manager and standard error, and returns its
/// exit status. Call before any other thread is started.
package func runDaemon(
    configuration: DaemonConfiguration,
    makeService: (DaemonConfiguration, EngineLog) throws -> any GenerationService
) -> Int32 {
    let log = Log.standardError(level: configuration.profile.service.logLevel)
    let daemon = Daemon(
        configuration: configuration, manager: ServiceManager(), log: log,
        signals: SystemSignals())
    var sockets: [CInt] = []
    do {
        sockets = try ServiceManager.takeSockets()
        try daemon.run(activatedSockets: sockets, makeService: makeService)
        return ExitStatus.success.rawValue
    } catch {
        return failStart(error, log: log, activatedSockets: sockets)
    }
}

/// The daemon cannot start: says why to the log, to the service manager and, in general terms, to
/// the clients that already wait at the sockets handed over. (They would start it again and again,
/// until the service manager gave up the socket too.) Returns the exit status.
package func failStart(
    _ error: any Error, log: Log = .standardError(level: .info), manager: ServiceManager = .init(),
    activatedSockets: [CInt]? = nil
) -> Int32 {
    log.log(.error, "\(error)")
    manager.status("Not started: \(error)")
    let sockets = activatedSockets ?? (try? ServiceManager.takeSockets()) ?? []
    for socket in sockets { WaitingClients.refuse(at: socket) }
    return ExitStatus(error).rawValue
}

/// One run of the daemon, its surroundings given.
package final class Daemon {
    /// Where the daemon is in its life, with what is at hand there.
    private enum State {
        case serving
        case draining(deadline: UInt64)
        case stopped
    }

    private var configuration: DaemonConfiguration
    /// What the service runs with until a restart.
    private let startProfile: Profile
    private let manager: ServiceManager
    let log: Log
    private let signals: any SignalSource
    let metrics = Metrics()
    /// Nil where the kernel does not tell.
    let pressureFile: PressureFile?
    var pressure = PressureLadder()
    private var state = State.serving
    /// Nil without a watchdog.
    private var watch: ProgressWatch?
    private var isStuck = false
    private var reported = Status()
    /// Monotonic microseconds.
    private var reportedAt: UInt64 = 0
    /// The last sign of life, likewise.
    private var beatAt: UInt64 = 0
    /// What is wrong with the profile that was to be read again.
    private var profileProblem: String?

    /// What the service manager shows: what the service does, and what it has done.
    private struct Status: Equatable {
        var doing = ""
        var served = ""
        /// Something runs or waits, which is told again soon.
        var isBusy = false
        var isDue = false

        var text: String { "\(doing); \(served)" }
    }

    package init(
        configuration: DaemonConfiguration, manager: ServiceManager, log: Log,
        signals: any SignalSource, pressureFile: PressureFile? = .own()
    ) {
        self.configuration = configuration
        self.pressureFile = pressureFile
        startProfile = configuration.profile
        self.manager = manager
        self.log = log
        self.signals = signals
        watch = manager.watchdogMicroseconds.map {
            ProgressWatch(
                watchdogMicroseconds: $0,
                readSecondsMax: Double(configuration.profile.flash.readSecondsMax))
        }
    }

    /// Serves until told to stop. Listens on `activatedSockets` or, when there are none, on the
    /// configured path. Throws what kept it from starting.
    package func run(
        activatedSockets: [CInt],
        makeService: (DaemonConfiguration, EngineLog) throws -> any GenerationService
    ) throws {
        let bound = activatedSockets.isEmpty ? try bindSocket() : nil
        defer { bound?.remove() }
        let (log, signals) = (self.log, self.signals)
        let service = try makeService(configuration, EngineLog(log: log) { signals.nudge() })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = HTTPServer(
            service: service, configuration: serverConfiguration(service), eventLoop: group.next())
        for descriptor in activatedSockets + (bound.map { [$0.descriptor] } ?? []) {
            try server.listen(descriptor: descriptor, group: group)
            // The framework has made it 128, which a burst of clients overruns.
            try SystemCalls.lengthenQueue(descriptor)
        }
        for notice in configuration.notices { log.log(.warning, notice) }
        let place = bound?.path ?? "the socket unit's socket"
        log.log(
            .info, "serving",
            [
                "socket": place, "library": configuration.library.directory,
                "version": SluiceVersion.current
            ])
        reported = currentStatus(service)
        manager.ready(reported.text)
        // What starting took and serving may never need: most of what an idle daemon would hold.
        ProcessMemory.release()
        ProcessMemory.releaseCode()
        try serve(server, service)
        try drain(server, keepsListening: bound != nil)
        (service as? any StoppableService)?.stop()
        // The event loop's thread ends with the process: shutting it down in order would start
        // Dispatch's threads for nothing.
        let counts = metrics.current
        log.log(
            .info, "stopped",
            ["requests": "\(counts.requests)", "refused": "\(counts.refusals)"])
    }

    private func bindSocket() throws -> BoundSocket {
        guard let path = configuration.socketPath else {
            throw ConfigurationError(
                file: "sluiced", "no place for the socket: use --socket or set XDG_RUNTIME_DIR")
        }
        return try BoundSocket(
            path: path, mode: configuration.profile.service.socketMode,
            makesDirectory: configuration.socketIsDefault)
    }

    private func serverConfiguration(
        _ service: any GenerationService
    ) -> HTTPServerConfiguration {
        let (log, metrics, signals) = (self.log, self.metrics, self.signals)
        let hasManager = manager.isPresent
        let refused = RepeatedNotice("requests refused: too many at once", log: log)
        let denied = RepeatedNotice("requests refused: who asks may not", log: log)
        let unaccepted = RepeatedNotice("connections wait: not accepted", log: log)
        var server = HTTPServerConfiguration(
            now: { SystemCalls.now() }, identify: { PeerIdentity.identify($0) },
            onRequest: { record in
                metrics.add(record)
                if record.isDenied {
                    denied.report("\(record.outcome ?? "-") (\(record.status))")
                }
                if record.isRefusal { refused.report("\(record.status) for \(record.route)") }
                if hasManager { signals.nudge() }
                log.log(
                    .debug, "request",
                    [
                        "route": record.route, "status": "\(record.status)",
                        "seconds": "\(record.seconds)", "outcome": record.outcome ?? "-",
                        "prompt_tokens": "\(record.promptTokens)",
                        "generated_tokens": "\(record.generatedTokens)"
                    ])
            })
        server.identifyGroups = { PeerIdentity.groups($0) }
        server.access = configuration.access
        server.onPiece = { metrics.addPiece(after: $0, isFirst: $1) }
        server.metrics = { load in
            MetricsText.write(
                metrics.all, load: load, engine: service.load,
                loaded: ((try? service.models()) ?? []).filter(\.isLoaded),
                memory: (service as? any StoppableService)?.heldMemory)
        }
        server.onAcceptFailure = { unaccepted.report("\($0)") }
        server.releaseMemory = { ProcessMemory.release() }
        server.defaults = configuration.profile.generation.sampling
        server.limits = limits()
        return server
    }

    /// The limits of the HTTP interface, within the memory budget and the process's descriptors.
    private func limits() -> HTTPLimits {
        let budget = ConnectionBudget(
            memoryBytes: startProfile.memory.budgetBytes,
            limitBytes: MemoryLimits.smallestBytes())
        let queueMax = configuration.profile.service.queueMax
        let wished = budget.limits(descriptors: .max, queueMax: queueMax)
        let descriptors = SystemCalls.raiseDescriptorLimit(
            to: wished.connectionsMax + wished.leavingMax + ConnectionBudget.otherDescriptors)
        let limits = budget.limits(descriptors: descriptors, queueMax: queueMax)
        if limits.connectionsMax < wished.connectionsMax {
            log.log(
                .warning, "fewer connections than memory allows: too few open files (ulimit -n)",
                ["connections": "\(limits.connectionsMax)", "open_files": "\(descriptors)"])
        }
        return limits
    }

    // MARK: serving

    /// Between two reports of what was served; what the service does is reported at once.
    private static let statusSeconds = 1.0

    /// How often the service manager hears of us, in seconds; nil when there is none, and the
    /// thread sleeps until a signal.
    private var period: Double? {
        guard manager.isPresent else { return nil }
        let watchdog = manager.watchdogMicroseconds.map { Double($0) / 2e6 }
        let soon = reported.isDue || reported.isBusy || pressure.isUp
        return min(soon ? Self.statusSeconds : 10, watchdog ?? 10)
    }

    private func serve(_ server: HTTPServer, _ service: any GenerationService) throws {
        while case .serving = state {
            switch signals.next(within: period) {
            case .terminate:
                let seconds = UInt64(configuration.profile.service.drainSeconds)
                state = .draining(
                    deadline: MonotonicClock.microseconds + seconds * 1_000_000)
            case .reload: reload(server, service)
            case .changed:
                lookAtPressure(server, service)
                tellStatus(service)
                if isBeatDue { try beat(server, service) }
            case nil: try beat(server, service)
            }
        }
    }

    /// Nudges cut the wait for the next sign of life short, again and again in a busy service.
    private var isBeatDue: Bool {
        guard let watchdog = manager.watchdogMicroseconds else { return false }
        return MonotonicClock.microseconds - beatAt >= watchdog / 4
    }

    /// One sign of life: the event loop answers, and the service is idle or got something done.
    private func beat(_ server: HTTPServer, _ service: any GenerationService) throws {
        guard manager.isPresent else { return }
        _ = try server.activeCount()
        lookAtPressure(server, service)
        tellStatus(service)
        beatAt = MonotonicClock.microseconds
        if isProgressing(service) { manager.alive() }
    }

    /// Whether the watchdog is to be fed; says once when not.
    private func isProgressing(_ service: any GenerationService) -> Bool {
        guard let limit = watch?.microsecondsMax else { return false }
        guard let progress = (service as? any StoppableService)?.progress else { return true }
        let now = MonotonicClock.microseconds
        let isAlive = watch?.isAlive(progress, atMicroseconds: now) ?? true
        if !isAlive && !isStuck {
            log.log(
                .error, "the engine is stuck: the watchdog is not fed",
                ["seconds": "\(limit / 1_000_000)"])
        }
        isStuck = !isAlive
        return isAlive
    }

    private func tellStatus(_ service: any GenerationService) {
        guard manager.isPresent else { return }
        let status = currentStatus(service)
        guard status.text != reported.text else { return }
        let now = MonotonicClock.microseconds
        let isLate = now - reportedAt >= UInt64(Self.statusSeconds * 1_000_000)
        guard status.doing != reported.doing || isLate else {
            reported.isDue = true
            return
        }
        reported = status
        reportedAt = now
        manager.status(status.text)
    }

    private func currentStatus(_ service: any GenerationService) -> Status {
        let counts = metrics.current
        var status = Status()
        status.doing =
            switch service.state {
            case .ready(let models):
                "Ready; \(models.isEmpty ? "no model" : models.joined(separator: ", ")) loaded"
            case .loading(let model): "Loading \(model)"
            case .draining: "Draining"
            }
        let load = service.load
        status.isBusy = load.sequences + load.waiting > 0
        let now = status.isBusy ? "\(load.sequences) running, \(load.waiting) waiting; " : ""
        let refused = counts.refusals > 0 ? ", \(counts.refusals) refused" : ""
        status.served =
            "\(now)\(counts.requests) requests\(refused), "
            + "\(counts.generatedTokens) tokens generated"
        status.doing = pressureStatus + status.doing
        if let profileProblem {
            status.doing = "Profile not taken over: \(profileProblem); \(status.doing)"
        }
        return status
    }

    /// Takes over what can change without a restart. A broken profile changes nothing.
    private func reload(_ server: HTTPServer, _ service: any GenerationService) {
        manager.reloading()
        do throws(ConfigurationError) {
            let before = configuration.profile
            configuration = try configuration.reloaded()
            profileProblem = nil
            let profile = configuration.profile
            (service as? any StoppableService)?.update(configuration, from: before, log: log)
            server.update(generationsMax: limits().generationsMax)
            log.set(level: profile.service.logLevel)
            server.update(defaults: profile.generation.sampling)
            server.update(access: configuration.access)
            let waiting = profile.changesThatWait(since: startProfile)
            if waiting.isEmpty {
                log.log(.info, "profile read again")
            } else {
                log.log(
                    .warning, "profile read again; some of what changed needs a restart",
                    ["keys": waiting.joined(separator: ",")])
            }
            for notice in configuration.notices { log.log(.warning, notice) }
        } catch {
            log.log(.error, "profile kept as it was", ["problem": "\(error)"])
            profileProblem = "\(error)"
        }
        reported = currentStatus(service)
        manager.ready(reported.text)
    }

    // MARK: ending

    /// Lets running answers finish until the deadline or a second signal, then ends them. At a
    /// socket of its own it tells whoever comes meanwhile; at the service manager's they wait for
    /// the next daemon.
    private func drain(_ server: HTTPServer, keepsListening: Bool) throws {
        guard case .draining(let deadline) = state else { return }
        manager.stopping(
            "Finishing running answers", seconds: configuration.profile.service.drainSeconds)
        log.log(.info, "stopping", ["active": "\(try server.activeCount())"])
        try server.beginDrain(keepsListening: keepsListening)
        var aliveAt = MonotonicClock.microseconds
        while try server.activeCount() > 0, MonotonicClock.microseconds < deadline {
            if signals.next(within: 0.02) == .terminate { break }
            let now = MonotonicClock.microseconds
            if let watchdog = manager.watchdogMicroseconds, now - aliveAt > watchdog / 2 {
                manager.alive()
                aliveAt = now
            }
        }
        try cancelRest(server)
        state = .stopped
    }

    /// Answers that still run end with an error; each client gets a moment to see it.
    private func cancelRest(_ server: HTTPServer) throws {
        server.cancelAll()
        let deadline = MonotonicClock.microseconds + 2_000_000
        while try server.connectionCount() > 0, MonotonicClock.microseconds < deadline {
            if signals.next(within: 0.01) == .terminate { break }
        }
        try server.closeAll()
    }
}
