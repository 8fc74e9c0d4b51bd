// What the server's connections share: who has a place, and what all of them hold. Touched on the
// event loop only.

internal import GenerationAPI
internal import NIOCore

/// The connections at hand, the bytes they hold, and whether the server is draining.
final class ServerState {
    /// Freed bytes that are worth giving back to the system.
    private static let releasedBytesMin = 256 << 10
    /// A connection's share in that, roughly.
    private static let connectionBytes = 8 << 10

    let service: any GenerationService
    var configuration: HTTPServerConfiguration
    /// Called when a connection's state may have made room for another, or taken it.
    var onChange: () -> Void = {}
    private(set) var isDraining = false
    /// The system is short of memory: no new generations.
    var refusesForMemory = false
    private let eventLoop: any EventLoop
    private var connections: [UInt64: ConnectionHandler] = [:]
    private var nextNumber: UInt64 = 0
    private var bodyBytes = 0
    private var answerBytes = 0
    /// The most bytes in use since memory was last given back.
    private var useBytesPeak = 0
    private var release: Scheduled<Void>?

    init(
        service: any GenerationService, configuration: HTTPServerConfiguration,
        eventLoop: any EventLoop
    ) {
        self.service = service
        self.configuration = configuration
        self.eventLoop = eventLoop
    }

    private var limits: HTTPLimits { configuration.limits }

    /// Requests that are being answered.
    var activeCount: Int { connections.values.count { $0.isAnswering } }

    var connectionCount: Int { connections.count }

    /// What the server is at.
    var load: ServerLoad {
        var load = ServerLoad()
        load.connections = connections.count
        load.running = running.count
        load.waiting = connections.values.count { $0.isGenerating } - load.running
        return load
    }

    /// The generations that the engine has begun with, the earliest first.
    var running: [RunningGeneration] {
        connections.values.compactMap(\.running).sorted { $0.number < $1.number }
    }

    /// The connections whose requests are generated or wait for it.
    var generating: [ConnectionHandler] { connections.values.filter(\.isGenerating) }

    /// A number for a connection or a generation: later ones are greater.
    func takeNumber() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }

    // MARK: places

    /// Whether one more connection may be accepted: into a place, or to be told that there is none.
    var hasRoom: Bool { connections.values.count { $0.isLeaving } < limits.leavingMax }

    /// Takes a connection in; false when it has no place and is to be refused.
    func admit(_ connection: ConnectionHandler) -> Bool {
        let hasPlace = makePlace(for: connection.client)
        connections[connection.number] = connection
        noteUse()
        return hasPlace
    }

    /// Whether there is a place for one more connection, after others had to give way.
    func makePlace(for client: ClientID) -> Bool {
        let placed = connections.values.filter { !$0.isLeaving }
        guard placed.count >= limits.connectionsMax else { return true }
        let counts = Self.count(placed)
        let idleEnd = NIODeadline.now() - limits.idleTime
        let idle = placed.filter { $0.isIdle && $0.idle.since <= idleEnd }
        let longest = idle.max {
            (counts[$0.client] ?? 0, $1.idle.since) < (counts[$1.client] ?? 0, $0.idle.since)
        }
        guard let yielding = longest ?? greediest(placed, counts, than: client) else {
            return false
        }
        yielding.yield()
        return true
    }

    /// Whether one more generation may start for `client`. One that waits may have to give way, so
    /// that a client with few of them is not shut out by one with many.
    func admitGeneration(for client: ClientID) -> Bool {
        let generating = self.generating
        guard generating.count >= limits.generationsMax else { return true }
        let counts = Self.count(generating)
        guard let yielding = greediest(generating, counts, than: client) else { return false }
        yielding.yield()
        return true
    }

    private static func count(_ connections: [ConnectionHandler]) -> [ClientID: Int] {
        Dictionary(connections.map { ($0.client, 1) }, uniquingKeysWith: +)
    }

    /// The newest connection that can give way of the client that has most of `connections`, if it
    /// then still has no fewer than `client` with one more.
    private func greediest(
        _ connections: [ConnectionHandler], _ counts: [ClientID: Int], than client: ClientID
    ) -> ConnectionHandler? {
        guard
            let most = counts.max(by: {
                ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue)
            }), most.value > (counts[client] ?? 0) + 1
        else { return nil }
        return connections.filter { $0.client == most.key && $0.canYield }
            .max { $0.number < $1.number }
    }

    func remove(_ connection: ConnectionHandler) {
        guard connections.removeValue(forKey: connection.number) != nil else { return }
        onChange()
    }

    // MARK: bytes

    /// Accounts for bytes that arrived; false when all connections together hold too many.
    func reserve(bodyBytes count: Int) -> Bool {
        guard bodyBytes + count <= limits.bodyBytesTotalMax else { return false }
        bodyBytes += count
        noteUse()
        return true
    }

    func release(bodyBytes count: Int) { bodyBytes -= count }

    /// Accounts for bytes of an answer; false when all answers together hold too many. They count
    /// in any case.
    func reserve(answerBytes count: Int) -> Bool {
        answerBytes += count
        noteUse()
        return answerBytes <= limits.answerBytesTotalMax
    }

    func release(answerBytes count: Int) { answerBytes -= count }

    /// Whether a whole answer may be sent, in place of `held` bytes: one always may.
    func fits(answerBytes count: Int, inPlaceOf held: Int) -> Bool {
        let others = answerBytes - held
        return others == 0 || others + count <= limits.answerBytesTotalMax
    }

    private var useBytes: Int {
        bodyBytes + answerBytes + connections.count * Self.connectionBytes
    }

    private func noteUse() {
        useBytesPeak = max(useBytesPeak, useBytes)
        guard release == nil, useBytesPeak >= Self.releasedBytesMin else { return }
        scheduleRelease(tries: 10)
    }

    /// Gives freed memory back in a second if there is any and nothing more comes, at the latest
    /// after so many tries.
    private func scheduleRelease(tries: Int) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        release = eventLoop.scheduleTask(in: .seconds(1)) {
            bound.value.releaseMemory(tries: tries)
        }
    }

    private func releaseMemory(tries: Int) {
        release = nil
        guard bodyBytes + answerBytes == 0 || tries == 0 else {
            return scheduleRelease(tries: tries - 1)
        }
        if useBytesPeak - useBytes >= Self.releasedBytesMin { configuration.releaseMemory() }
        useBytesPeak = 0
        noteUse()
    }

    // MARK: the end

    /// Refuses new work from here on and closes what is idle.
    func beginDrain() {
        isDraining = true
        for connection in Array(connections.values) where connection.isIdle { connection.close() }
    }

    /// Cancels every generation; each answer then ends with an error.
    func cancelAll() {
        for connection in connections.values { connection.cancelGeneration() }
    }

    func closeAll() {
        release?.cancel()
        for connection in Array(connections.values) { connection.close() }
    }
}
