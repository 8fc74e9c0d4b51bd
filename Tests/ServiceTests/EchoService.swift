// A service that needs no model, and the scaffolding around daemons under test.

import Dispatch
import GenerationAPI
import Glibc
import Knobs
import ModelFormat
import Service
import Synchronization
import TestSupport

/// Echoes in two pieces; a user's message with tools is answered by a thought and two calls of the
/// first tool. `wait` starts and then waits for its cancellation; `refuse` fails at once.
final class EchoService: StoppableService {
    private let queue = DispatchQueue(label: "echo engine")
    private let recorded = Mutex<(orders: [GenerationOrder], cancelled: Int, stopped: Bool)>(
        ([], 0, false))
    private let reportedState = Mutex(ServiceState.ready(models: ["echo"]))
    private let reportedLoad = Mutex(EngineLoad())

    var orders: [GenerationOrder] { recorded.withLock { $0.orders } }
    var cancelledCount: Int { recorded.withLock { $0.cancelled } }
    var isStopped: Bool { recorded.withLock { $0.stopped } }
    var state: ServiceState {
        get { reportedState.withLock { $0 } }
        set { reportedState.withLock { $0 = newValue } }
    }

    var load: EngineLoad {
        get { reportedLoad.withLock { $0 } }
        set { reportedLoad.withLock { $0 = newValue } }
    }

    var progress: EngineProgress { EngineProgress(count: 0, isBusy: false) }

    func stop() { recorded.withLock { $0.stopped = true } }

    func models() throws(GenerationError) -> [ModelSummary] {
        [
            ModelSummary(
                name: "echo", architecture: "fake", fileBytes: 7, modified: 1_700_000_000,
                isLoaded: true)
        ]
    }

    private struct Ticket: GenerationTicket {
        let onCancel: @Sendable () -> Void
        func cancel() { onCancel() }
    }

    func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket {
        recorded.withLock { $0.orders.append(order) }
        let text =
            switch order.prompt {
            case .text(let text): text
            case .chat(let messages): messages.last?.content ?? ""
            case .tokens(let tokens): tokens.map { "\($0.rawValue)" }.joined(separator: " ")
            }
        let model = order.model ?? "echo"
        queue.async { Self.run(order, text, model: model, onEvent) }
        return Ticket { [self] in
            recorded.withLock { $0.cancelled += 1 }
            queue.async { onEvent(.failed(GenerationError(.cancelled, "cancelled"))) }
        }
    }

    private static func run(
        _ order: GenerationOrder, _ text: String, model: String,
        _ onEvent: @Sendable (GenerationEvent) -> Void
    ) {
        if text == "refuse" {
            return onEvent(.failed(GenerationError(.overloaded, "too many", parameter: "x")))
        }
        guard ModelSummary.names(for: model).contains("echo") else {
            return onEvent(
                .failed(GenerationError(.modelNotFound, "no model '\(model)'", parameter: "model")))
        }
        onEvent(.started(model: model, promptTokens: 3))
        if text == "wait" { return }
        if case .tokens = order.wanted {
            onEvent(.tokens(TokenizedText([])))
            return onEvent(.finished(.stop, statistics))
        }
        if order.tools != nil, order.wanted == .answer, case .chat(let messages) = order.prompt,
            messages.last?.role == "user"
        {
            return call(order, onEvent)
        }
        onEvent(.text(String(text.prefix(3)), probabilities: probabilities(order)))
        onEvent(.text(String(text.dropFirst(3)), probabilities: []))
        onEvent(.finished(.stop, statistics))
    }

    private static func call(
        _ order: GenerationOrder, _ onEvent: @Sendable (GenerationEvent) -> Void
    ) {
        onEvent(.reasoning("Hm."))
        for index in 0..<(order.allowsParallelCalls ? 2 : 1) {
            onEvent(.toolCall(.began(index: index, id: "call_\(index)", name: "get_weather")))
            onEvent(.toolCall(.arguments(index: index, "{\"city\": ")))
            onEvent(.toolCall(.arguments(index: index, "\"Paris\"}")))
            onEvent(.toolCall(.ended(index: index)))
        }
        onEvent(.finished(.toolCalls, statistics))
    }

    private static func probabilities(
        _ order: GenerationOrder
    ) -> [(chosen: TokenProbability, alternatives: [TokenProbability])] {
        guard let count = order.alternativesReported else { return [] }
        let token = TokenProbability(token: TokenID(5), bytes: [0x61], logProbability: -0.25)
        return [(chosen: token, alternatives: Array(repeating: token, count: min(1, count)))]
    }

    static var statistics: GenerationStatistics {
        var statistics = GenerationStatistics()
        statistics.promptTokens = 3
        statistics.generatedTokens = 2
        statistics.promptSeconds = 0.5
        statistics.generateSeconds = 0.25
        statistics.timeToFirstTokenSeconds = 0.5
        statistics.flashBytes = 4096
        statistics.bundleHits = 3
        statistics.bundleMisses = 1
        statistics.keyValueBytes = 512
        statistics.draftedTokens = 4
        statistics.acceptedTokens = 1
        return statistics
    }
}

/// Signals that a test sends.
final class FakeSignals: SignalSource {
    private let pending = Mutex<[DaemonSignal]>([])
    private let available = DispatchSemaphore(value: 0)

    func send(_ signal: DaemonSignal) {
        pending.withLock { $0.append(signal) }
        available.signal()
    }

    func nudge() { send(.changed) }

    func next(within seconds: Double?) -> DaemonSignal? {
        if let seconds {
            let deadline = DispatchTime.now() + .milliseconds(Int(seconds * 1000))
            guard available.wait(timeout: deadline) == .success else { return nil }
        } else {
            available.wait()
        }
        return pending.withLock { $0.removeFirst() }
    }
}

/// A directory that goes away with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/sluice-daemon.XXXXXX".utf8CString)
        path = unsafe String(cString: mkdtemp(&template))
    }

    deinit { _ = Shell.run("rm -rf '\(path)'") }

    func write(_ text: String, to name: String) -> String {
        let file = "\(path)/\(name)"
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
        return file
    }
}

/// Commands for a shell that starts with no signal blocked, unlike the threads that run tests.
enum Shell {
    /// The shell's exit status.
    static func run(_ command: String) -> CInt {
        var (none, previous) = (sigset_t(), sigset_t())
        unsafe sigemptyset(&none)
        unsafe pthread_sigmask(SIG_SETMASK, &none, &previous)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &previous, nil) }
        return (unsafe system(command) >> 8) & 0xFF
    }
}

/// A daemon running in a thread of its own, with a fake service manager.
final class RunningDaemon: Sendable {
    let directory = TemporaryDirectory()
    let service = EchoService()
    let signals = FakeSignals()
    let manager: FakeManager
    let socket: String
    private let result = Mutex<String?>(nil)
    private let log = Mutex<[String]>([])
    private let toldLog = Mutex<EngineLog?>(nil)
    private let ended = DispatchSemaphore(value: 0)

    init(profile: String = "", watchdogMicroseconds: UInt64? = nil) throws {
        manager = try FakeManager(directory.path + "/notify")
        socket = directory.path + "/s"
        let file = directory.write(profile, to: "profile.toml")
        let configuration = try DaemonConfiguration(
            profilePath: file, memoryBytes: nil, socket: socket, library: directory.path)
        let notifier = ServiceManager(
            notifyPath: manager.path, watchdogMicroseconds: watchdogMicroseconds)
        let (signals, service) = (self.signals, self.service)
        DispatchQueue.global().async { [self] in
            let log = Log(level: .info, hasPriorities: false) { line in
                self.log.withLock { $0.append(line) }
            }
            let daemon = Daemon(
                configuration: configuration, manager: notifier, log: log, signals: signals,
                pressureFile: PressureFile(path: directory.path + "/pressure"))
            var problem = ""
            do {
                try daemon.run(activatedSockets: []) { _, log in
                    toldLog.withLock { $0 = log }
                    return service
                }
            } catch {
                problem = "\(error)"
            }
            result.withLock { $0 = problem }
            ended.signal()
        }
    }

    /// Where the service reports its events.
    var engineLog: EngineLog? { toldLog.withLock { $0 } }
    var lines: [String] { log.withLock { $0 } }

    /// What `run` threw, as text; empty when it returned. nil when it did not end in ten seconds.
    func wait() -> String? {
        guard ended.wait(timeout: .now() + .seconds(10)) == .success else { return nil }
        return result.withLock { $0 }
    }
}

/// A datagram socket in systemd's place.
final class FakeManager: Sendable {
    let path: String
    private let descriptor: CInt

    init(_ path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        guard TestSocket.bind(descriptor, path) else { throw TestSocket.Failure() }
    }

    deinit { close(descriptor) }

    /// The next datagram, or why there was none within ten seconds.
    func receive() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = uninterrupted { unsafe recv(descriptor, &buffer, buffer.count, 0) }
        guard count >= 0 else { return "recv failed: errno \(errno)" }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}

enum TestSocket {
    struct Failure: Error {}

    static func bind(_ descriptor: CInt, _ path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: path.utf8)
        }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }

    /// A socket file at `path`, listening or left behind.
    static func make(_ path: String, isLive: Bool) throws -> CInt? {
        // No program that another test starts may keep it open.
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard bind(descriptor, path), listen(descriptor, 16) == 0 else { throw Failure() }
        if isLive { return descriptor }
        close(descriptor)
        return nil
    }
}

/// Waits for something that another thread brings about; gives up after ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
        if condition() { return true }
        usleep(1000)
    }
    return condition()
}
