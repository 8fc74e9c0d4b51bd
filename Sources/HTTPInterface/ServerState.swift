// What the server's connections share. Touched on the event loop only.

internal import NIOCore
internal import Scheduling

/// The connections at hand, the bytes their bodies hold, and whether the server is draining.
final class ServerState {
    let service: any GenerationService
    var configuration: HTTPServerConfiguration
    private(set) var isDraining = false
    private var connections: [UInt64: ConnectionHandler] = [:]
    private var nextNumber: UInt64 = 0
    private var bodyBytes = 0

    init(service: any GenerationService, configuration: HTTPServerConfiguration) {
        self.service = service
        self.configuration = configuration
    }

    /// Requests that are being answered.
    var activeCount: Int { connections.values.count { $0.isAnswering } }

    var connectionCount: Int { connections.count }

    /// Takes a connection in; false when the server is full of busy ones. The longest idle
    /// connection makes room, so that a flood of silent ones shuts nobody out.
    func admit(_ connection: ConnectionHandler) -> Bool {
        if connections.count >= configuration.limits.connectionsMax {
            guard let idle = connections.values.filter(\.isIdle).min(by: { $0.number < $1.number })
            else { return false }
            connections[idle.number] = nil
            idle.close()
        }
        connections[connection.number] = connection
        return true
    }

    func remove(_ connection: ConnectionHandler) { connections[connection.number] = nil }

    /// A number for a connection or for the start of its idleness: later ones are greater.
    func takeNumber() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }

    /// Accounts for body bytes that arrived; false when all bodies together hold too many.
    func reserve(bodyBytes count: Int) -> Bool {
        guard bodyBytes + count <= configuration.limits.bodyBytesTotalMax else { return false }
        bodyBytes += count
        return true
    }

    func release(bodyBytes count: Int) { bodyBytes -= count }

    /// Refuses new work from here on and closes what is idle.
    func beginDrain() {
        isDraining = true
        for connection in Array(connections.values) where connection.isIdle { connection.close() }
    }

    /// Cancels every generation; each then ends its answer as cancelled.
    func cancelAll() {
        for connection in connections.values { connection.cancelGeneration() }
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.close() }
    }
}
