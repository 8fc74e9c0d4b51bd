// What the server allows, and what it needs from the process around it.

package import Inference
package import NIOCore
package import Scheduling

/// Limits on what clients may cost. Every one is enforced on every connection.
package struct HTTPLimits: Sendable, Equatable {
    /// Longest body of one request.
    package var bodyBytesMax = 8 << 20
    /// Bodies being received at one time, together: what they may take from the memory budget.
    package var bodyBytesTotalMax = 16 << 20
    /// Longest single header field.
    package var headerFieldBytesMax = 16 << 10
    /// All header fields of one request together.
    package var headerBytesMax = 64 << 10
    package var headerFieldsMax = 100
    /// Connections at one time. A further one replaces the longest idle or, when none is idle, is
    /// refused.
    package var connectionsMax = 256
    /// A stream's bytes that its client has not taken; beyond that the connection is cut.
    package var pendingBytesMax = 256 << 10
    /// From the connection's start, or the last answer's end, until a whole request has arrived.
    package var receiveTimeout = TimeAmount.seconds(30)
    /// From an answer's end until its client has taken it.
    package var sendTimeout = TimeAmount.seconds(30)
    /// A comment is sent when a stream was silent for this long.
    package var pingInterval = TimeAmount.seconds(15)

    package init() {}
}

/// One answered request, for logs and counters. Holds nothing that a client wrote but the path's
/// route.
package struct RequestRecord: Sendable, Equatable {
    package var route: String
    package var status: Int
    package var seconds: Double
    package var promptTokens = 0
    package var generatedTokens = 0
    /// How the generation ended, when there was one: a finish reason, an error's code or
    /// `disconnected`.
    package var outcome: String?
}

/// The server's surroundings, given by the daemon.
package struct HTTPServerConfiguration: Sendable {
    package var limits = HTTPLimits()
    /// Sampling for requests that do not say.
    package var defaults = SamplingParameters()
    /// Wall-clock seconds since 1970, for `created`.
    package var now: @Sendable () -> Int64
    /// Who is at the other end; nil when unknown, and every such connection is a client of its own.
    package var identify: @Sendable (any Channel) -> EventLoopFuture<ClientID?>
    /// Told of each answered request, on the event loop.
    package var onRequest: @Sendable (RequestRecord) -> Void

    package init(
        now: @escaping @Sendable () -> Int64,
        identify: @escaping @Sendable (any Channel) -> EventLoopFuture<ClientID?> = {
            $0.eventLoop.makeSucceededFuture(nil)
        },
        onRequest: @escaping @Sendable (RequestRecord) -> Void = { _ in }
    ) {
        self.now = now
        self.identify = identify
        self.onRequest = onRequest
    }
}
