// The daemon's life, with a fake engine, a fake service manager and signals sent by hand; and the
// client against it.

import DaemonCore
import Glibc
import Inference
import ModelFormat
import Scheduling
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
            case .started, .text: break
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

    @Test func feedsTheWatchdog() throws {
        let daemon = try RunningDaemon(watchdogMicroseconds: 20_000)
        #expect(daemon.manager.receive().hasPrefix("READY=1"))
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        #expect(daemon.manager.receive() == "WATCHDOG=1")
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    @Test func theClientIsAService() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let client = try DaemonClient.find(["/nonexistent/socket", daemon.socket])
        #expect(client.state == .ready(model: nil))
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
        func reload(_ profile: String) {
            _ = daemon.directory.write(profile, to: "profile.toml")
            daemon.signals.send(.reload)
            #expect(daemon.manager.receive().hasPrefix("RELOADING=1"))
            #expect(daemon.manager.receive().hasPrefix("READY=1"))
        }
        #expect(temperature() == 0.5)
        reload("[generation]\ntemperature = wrong\n")
        #expect(temperature() == 0.5)
        reload("[generation]\ntemperature = 0.75\n")
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
            try second.run(activatedSockets: []) { _ in EchoService() }
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
            try daemon.run(activatedSockets: []) { _ in
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
