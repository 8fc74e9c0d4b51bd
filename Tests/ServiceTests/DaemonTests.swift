// The daemon's life, with a fake engine, a fake service manager and signals sent by hand; and the
// client against it.

import Client
import Dispatch
import GenerationAPI
import Glibc
import Knobs
import LinuxSystem
import ModelFormat
import Service
import Synchronization
import Testing

@Suite(.serialized) struct DaemonTests {
    /// Runs a generation to its end and returns every event.
    private func events(
        _ service: any GenerationService, _ prompt: GenerationOrder.Prompt, model: String? = nil
    ) -> [GenerationEvent] {
        var order = GenerationOrder(prompt: prompt, client: ClientID(rawValue: 1))
        order.model = model
        let shared = Collector()
        _ = service.generate(order) { shared.add($0) }
        #expect(eventually { shared.isOver })
        return shared.events
    }

    final class Collector: Sendable {
        private let collected = Mutex<[GenerationEvent]>([])
        private let over = Mutex(false)

        var events: [GenerationEvent] { collected.withLock { $0 } }
        var isOver: Bool { over.withLock { $0 } }

        func add(_ event: GenerationEvent) {
            collected.withLock { $0.append(event) }
            switch event {
            case .finished, .failed: over.withLock { $0 = true }
            case .started, .progress, .text, .reasoning, .toolCall, .tokens, .embedding: break
            }
        }
    }

    private func text(_ events: [GenerationEvent]) -> String {
        events.map { if case .text(let text, _) = $0 { text } else { "" } }.joined()
    }

    @Test func tellsTheServiceManagerEverything() throws {
        let daemon = try RunningDaemon()
        #expect(
            daemon.manager.receive()
                == "READY=1\nSTATUS=Ready; echo loaded; 0 requests, 0 tokens generated")
        daemon.signals.send(.reload)
        let reloading = daemon.manager.receive()
        #expect(reloading.hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        #expect(daemon.manager.receive().hasPrefix("READY=1\nSTATUS="))
        daemon.signals.send(.terminate)
        #expect(
            daemon.manager.receive()
                == "STOPPING=1\nSTATUS=Finishing running answers\nEXTEND_TIMEOUT_USEC=35000000")
        #expect(daemon.wait() == "")
        #expect(daemon.service.isStopped)
        var info = stat()
        #expect(unsafe lstat(daemon.socket, &info) != 0)
    }

    /// A model that is loaded or gone is told at once, not at the next sign of life.
    @Test func statusFollowsTheEngine() throws {
        let daemon = try RunningDaemon()
        #expect(daemon.manager.receive().hasPrefix("READY=1"))
        daemon.service.state = .loading(model: "big")
        (daemon.service.load.sequences, daemon.service.load.waiting) = (2, 1)
        let report = LoadReport(
            model: "big", architecture: "llama", fileBytes: 7, seconds: 1.25, budgetBytes: 5,
            limitBytes: 6, contextTokens: 8, reading: [LoadReport.Field("sparse", "exact")])
        let start = ContinuousClock.now
        daemon.engineLog?.receive(.loading(model: "big"))
        let loading = "STATUS=Loading big; 2 running, 1 waiting; 0 requests"
        #expect(daemon.manager.receive().hasPrefix(loading))
        daemon.service.state = .ready(models: ["big"])
        daemon.service.load = EngineLoad()
        daemon.engineLog?.receive(.loaded(report))
        #expect(daemon.manager.receive().hasPrefix("STATUS=Ready; big loaded; 0 requests,"))
        daemon.engineLog?.receive(.unloaded(model: "big", orders: 3, forAnother: true))
        daemon.engineLog?.receive(.readFailed(model: "big", problem: "at byte 5"))
        // The sign of life comes every ten seconds.
        #expect(ContinuousClock.now - start < .seconds(8))
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
        for line in [
            "loading model=big\n",
            "loaded model=big architecture=llama file_bytes=7 seconds=1.25 budget_bytes=5 "
                + "limit_bytes=6 context_tokens=8 sparse=exact\n",
            "unloaded model=big requests=3\n",
            "weights cannot be read model=big problem=at byte 5\n"
        ] {
            #expect(daemon.lines.contains(line), "\(daemon.lines)")
        }
    }

    @Test func modelsThatReplaceEachOtherAreNoticedOnce() {
        var watch = SwapWatch()
        var said: [[String]] = []
        for round in 0..<100 {
            let models = watch.note(
                round % 2 == 0 ? "a" : "b", orders: 1, microseconds: UInt64(round) * 30_000_000)
            if let models { said.append(models) }
        }
        // 50 minutes of it, and a word every ten.
        #expect(said == Array(repeating: ["a", "b"], count: 5))
        var calm = SwapWatch()
        for round in 0..<100 {
            let orders = round % 3 == 0 ? 9 : 1
            #expect(calm.note("\(round % 2)", orders: orders, microseconds: 0) == nil)
        }
    }

    /// Clients that wait at a socket of systemd's would start a broken daemon again and again.
    @Test func aStartThatFailsAnswersWhoWaits() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/s"
        let listener = try #require(try TestSocket.make(path, isLive: true))
        defer { close(listener) }
        _ = fcntl(listener, F_SETFL, O_NONBLOCK)
        let manager = try FakeManager(directory.path + "/notify")
        let client = try DaemonClient.find([path])
        let collector = Collector()
        let order = GenerationOrder(prompt: .text("a"), client: ClientID(rawValue: 1))
        _ = client.generate(order) { collector.add($0) }
        usleep(50_000)
        let problem = ConfigurationError(file: "p.toml", line: 3, "wrong")
        let status = failStart(
            problem, log: Log(level: .error, hasPriorities: false) { _ in },
            manager: ServiceManager(notifyPath: manager.path, watchdogMicroseconds: nil),
            activatedSockets: [listener])
        #expect(status == 78)
        #expect(manager.receive() == "STATUS=Not started: p.toml:3: wrong")
        #expect(eventually { collector.isOver })
        guard case .failed(let error)? = collector.events.last else {
            Issue.record("no error")
            return
        }
        #expect(error.reason == .draining && error.message.contains("journalctl"), "\(error)")
    }

    @Test func aMissingDirectoryIsMadeOrNamed() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/run/s"
        do throws(SocketError) {
            _ = try BoundSocket(path: path, mode: 0o600)
            Issue.record("bound")
        } catch {
            #expect(error.description.contains("no directory \(directory.path)/run; make it"))
            #expect(ExitStatus(error) == .badConfiguration)
        }
        let socket = try BoundSocket(path: path, mode: 0o600, makesDirectory: true)
        close(socket.descriptor)
        socket.remove()
    }

    @Test func feedsTheWatchdog() throws {
        let daemon = try RunningDaemon(watchdogMicroseconds: 20_000)
        #expect(daemon.manager.receive().hasPrefix("READY=1"))
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    /// A busy service nudges its thread more often than signs of life are due.
    @Test func nudgesDoNotStarveTheWatchdog() throws {
        let daemon = try RunningDaemon(watchdogMicroseconds: 200_000)
        #expect(daemon.manager.receive().hasPrefix("READY=1"))
        let isEnough = DispatchSemaphore(value: 0)
        DispatchQueue.global().async { [signals = daemon.signals] in
            while isEnough.wait(timeout: .now() + .milliseconds(5)) == .timedOut {
                signals.nudge()
            }
        }
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        isEnough.signal()
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func theClientIsAService() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let client = try DaemonClient.find(["/nonexistent/socket", daemon.socket])
        #expect(client.state == .ready(models: []))
        #expect(try client.models().map(\.name) == ["echo"])
        #expect(try client.models().first?.isLoaded == true)
        let answer = events(client, .chat([ChatMessage(role: "user", content: "h\u{e9}llo\n\"")]))
        #expect(text(answer) == "h\u{e9}llo\n\"")
        guard case .finished(.stop, let statistics)? = answer.last else {
            Issue.record("no end: \(answer)")
            return
        }
        var expected = EchoService.statistics
        expected.queueSeconds = 0
        #expect(statistics == expected)
        #expect(text(events(client, .text("plain"))) == "plain")
        #expect(text(events(client, .tokens([.init(1), .init(2)]))) == "1 2")
        // Turns are taken between processes: every connection of this one is the same client.
        #expect(Set(daemon.service.orders.map(\.client.rawValue)) == [UInt64(getpid())])
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func theClientSendsWhatTheUserSaid() throws {
        let daemon = try RunningDaemon(profile: "[generation]\ntemperature = 0.25\n")
        _ = daemon.manager.receive()
        var overrides = SamplingOverrides()
        overrides.topK = 3
        overrides.seed = 7
        let client = try DaemonClient.find([daemon.socket], sampling: overrides)
        _ = events(client, .text("a"))
        let sampling = try #require(daemon.service.orders.last?.sampling)
        #expect(sampling.temperature == 0.25)
        #expect(sampling.topK == 3)
        #expect(sampling.seed == 7)
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func errorsReachTheClientWithTheirReason() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket])
        guard case .failed(let error)? = events(client, .text("refuse")).last else {
            Issue.record("no error")
            return
        }
        #expect(error == GenerationError(.overloaded, "too many", parameter: "x"))
        #expect(ExitStatus(error) == .tryAgain)
        guard case .failed(let missing)? = events(client, .text("a"), model: "no").last else {
            Issue.record("no error")
            return
        }
        #expect(missing.reason == .modelNotFound)
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func cancellingTheClientCancelsTheEngine() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket])
        let collector = Collector()
        let order = GenerationOrder(prompt: .text("wait"), client: ClientID(rawValue: 1))
        let ticket = client.generate(order) { collector.add($0) }
        #expect(eventually { daemon.service.orders.count == 1 })
        ticket.cancel()
        ticket.cancel()
        #expect(eventually { collector.isOver })
        guard case .failed(let error)? = collector.events.last else {
            Issue.record("no error")
            return
        }
        #expect(error.reason == .cancelled)
        #expect(eventually { daemon.service.cancelledCount == 1 })
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func drainsToItsDeadlineThenCancels() throws {
        let daemon = try RunningDaemon(profile: "[service]\ndrain_seconds = 0\n")
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket])
        let collector = Collector()
        let order = GenerationOrder(prompt: .text("wait"), client: ClientID(rawValue: 1))
        _ = client.generate(order) { collector.add($0) }
        #expect(eventually { daemon.service.orders.count == 1 })
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
        #expect(eventually { collector.isOver })
        #expect(daemon.service.cancelledCount >= 1)
    }

    @Test func aSecondSignalEndsTheDrain() throws {
        let daemon = try RunningDaemon(profile: "[service]\ndrain_seconds = 3600\n")
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket])
        let order = GenerationOrder(prompt: .text("wait"), client: ClientID(rawValue: 1))
        _ = client.generate(order) { _ in }
        #expect(eventually { daemon.service.orders.count == 1 })
        daemon.signals.send(.terminate)
        #expect(daemon.manager.receive().hasPrefix("STOPPING=1"))
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
        #expect(daemon.service.cancelledCount >= 1)
    }

    @Test func aBrokenProfileChangesNothing() throws {
        let daemon = try RunningDaemon(profile: "[generation]\ntemperature = 0.5\n")
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket], sampling: SamplingOverrides())
        func temperature() -> Float? {
            _ = events(client, .text("a"))
            return daemon.service.orders.last?.sampling.temperature
        }
        /// What the service manager is told after it.
        func reload(_ profile: String) -> String {
            _ = daemon.directory.write(profile, to: "profile.toml")
            daemon.signals.send(.reload)
            var told = daemon.manager.receive()
            while told.hasPrefix("STATUS=") { told = daemon.manager.receive() }
            #expect(told.hasPrefix("RELOADING=1"))
            let ready = daemon.manager.receive()
            #expect(ready.hasPrefix("READY=1"))
            return ready
        }
        #expect(temperature() == 0.5)
        let problem = reload("[generation]\ntemperature = wrong\n")
        #expect(problem.contains("profile.toml:2"), "\(problem)")
        #expect(temperature() == 0.5)
        #expect(!reload("[generation]\ntemperature = 0.75\n").contains("profile.toml"))
        #expect(temperature() == 0.75)
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func aSecondDaemonIsRefused() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let configuration = try DaemonConfiguration(
            profilePath: nil, memoryBytes: nil, socket: daemon.socket, library: "/tmp")
        let second = Daemon(
            configuration: configuration,
            manager: ServiceManager(notifyPath: nil, watchdogMicroseconds: nil),
            log: Log(level: .error, hasPriorities: false) { _ in }, signals: FakeSignals())
        #expect(throws: SocketError.self) {
            try second.run(activatedSockets: []) { _, _ in EchoService() }
        }
        #expect(try DaemonClient.find([daemon.socket]).models().count == 1)
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func aFailingEngineLeavesNoSocket() throws {
        let directory = TemporaryDirectory()
        let configuration = try DaemonConfiguration(
            profilePath: nil, memoryBytes: nil, socket: directory.path + "/s", library: "/tmp")
        let daemon = Daemon(
            configuration: configuration,
            manager: ServiceManager(notifyPath: nil, watchdogMicroseconds: nil),
            log: Log(level: .error, hasPriorities: false) { _ in }, signals: FakeSignals())
        #expect(throws: GenerationError.self) {
            try daemon.run(activatedSockets: []) { _, _ in
                throw GenerationError(.budgetExceeded, "too small")
            }
        }
        var info = stat()
        #expect(unsafe lstat(directory.path + "/s", &info) != 0)
    }

    @Test func noDaemonIsAnErrorWithAHint() {
        do {
            _ = try DaemonClient.find(["/nonexistent/socket"])
            Issue.record("found a daemon")
        } catch {
            #expect("\(error)".contains("no such socket"))
            #expect("\(error)".contains("--local"))
            #expect(ExitStatus(error) == .unavailable)
        }
    }

    @Test func logsOneLineWithPriorityAndWithoutControlCharacters() {
        let sink = LineSink()
        let log = Log(level: .info, hasPriorities: true) { sink.add($0) }
        log.log(.error, "bad\n\u{1B}[31m", ["path": "a\r\nb"])
        log.log(.debug, "hidden")
        log.set(level: .debug)
        log.log(.debug, "shown")
        #expect(sink.lines == ["<3>bad  [31m path=a  b\n", "<7>shown\n"])
    }

    final class LineSink: Sendable {
        private let collected = Mutex<[String]>([])
        var lines: [String] { collected.withLock { $0 } }
        func add(_ line: String) { collected.withLock { $0.append(line) } }
    }
}
