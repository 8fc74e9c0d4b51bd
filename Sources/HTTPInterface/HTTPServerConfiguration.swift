// What the server allows, and what it needs from the process around it.

package import GenerationAPI
internal import JSON
package import NIOCore

/// Limits on what clients may cost. Every one is enforced on every connection.
package struct HTTPLimits: Sendable, Equatable {
    /// Longest body of one request.
    package var bodyBytesMax = 8 << 20
    /// What arrived and is not answered yet, of all connections together: what heads and bodies may
    /// take from the memory budget.
    package var bodyBytesTotalMax = 16 << 20
    /// Longest single header field, longest request target.
    package var headerFieldBytesMax = 16 << 10
    /// All header fields of one request together.
    package var headerBytesMax = 64 << 10
    package var headerFieldsMax = 100
    /// What one read takes from a connection: the most that is held of requests sent before the
    /// one in hand was answered.
    package var readBytes = 4 << 10
    /// Connections at one time. A further one replaces the longest idle or, when none is idle, one
    /// of a client that has more of them; else it is answered with 429.
    package var connectionsMax = 256
    /// Connections, beside those, that have been refused and are being read until their client has
    /// seen it. When there are as many, no further connection is accepted until one is over.
    package var leavingMax = 64
    /// Generations at one time, waiting ones too.
    package var generationsMax = 192
    /// A stream's bytes that its client has not taken; beyond that the connection is cut.
    package var pendingBytesMax = 256 << 10
    /// Answers that are being put together or have not been taken, of all connections together.
    package var answerBytesTotalMax = 16 << 20
    /// From the connection's start, or the last answer's end, until a request begins; from there
    /// until its head is whole; and the longest silence within its body.
    package var receiveTimeout = TimeAmount.seconds(30)
    /// A body may take `receiveTimeout` and its length over this.
    package var bodyBytesPerSecondMin = 1
    /// From an answer's end until its client has taken it.
    package var sendTimeout = TimeAmount.seconds(30)
    /// How long a connection is left alone before it counts as idle, and how long a further one
    /// waits for a place before it is refused.
    package var idleTime = TimeAmount.milliseconds(100)
    /// How long the client of a refused connection may be silent before the connection is closed,
    /// and, four times that, how long it may still talk.
    package var lingerTime = TimeAmount.milliseconds(500)
    /// A stream's head is sent after this even when nothing has happened. Before, an error still is
    /// a status.
    package var streamHeadTime = TimeAmount.seconds(1)
    /// A comment is sent when a stream was silent for this long.
    package var commentInterval = TimeAmount.seconds(5)

    /// Values in one body, which cost about as much as 64 bytes of text.
    var bodyValuesMax: Int { min(JSONParser.valuesMax, max(4096, bodyBytesMax / 64)) }

    package init() {}
}

/// One answered request, for logs and counters. Holds nothing that a client wrote but the path's
/// route.
package struct RequestRecord: Sendable, Equatable {
    /// The route that is named when a request was refused before it was read.
    package static let unread = "unread"

    package var route: String
    package var status: Int
    package var seconds: Double
    package var promptTokens = 0
    package var generatedTokens = 0
    /// What the answers took that came to their end.
    package var statistics = GenerationStatistics()
    /// How the generation ended, when there was one: a finish reason, an error's code or
    /// `disconnected`.
    package var outcome: String?

    package init(route: String, status: Int, seconds: Double, outcome: String? = nil) {
        self.route = route
        self.status = status
        self.seconds = seconds
        self.outcome = outcome
    }

    /// Whether the client was told to come back later because there was too much to do.
    package var isRefusal: Bool {
        status == 429 || outcome == GenerationError.Reason.overloaded.code
            || outcome == HTTPFailure.userLimitCode
    }

    /// Whether the client was told that it may not ask.
    package var isDenied: Bool { status == 401 || status == 403 }
}

/// What the server is at.
package struct ServerLoad: Sendable, Equatable {
    package var connections = 0
    /// Generations that the engine has begun with.
    package var running = 0
    /// Generations that wait for the engine.
    package var waiting = 0

    package init() {}
}

/// The server's surroundings, given by the daemon. The closures are called on the event loop.
package struct HTTPServerConfiguration: Sendable {
    package var limits = HTTPLimits()
    /// Sampling for requests that do not say.
    package var defaults = SamplingParameters()
    /// Wall-clock seconds since 1970, for `created`.
    package var now: @Sendable () -> Int64
    /// Who is at the other end; nil when unknown, and every such connection is a client of its own.
    package var identify: @Sendable (any Channel) -> EventLoopFuture<ClientID?>
    /// The groups of whoever is at the other end; asked when the policy names groups.
    package var identifyGroups: @Sendable (any Channel) -> EventLoopFuture<[UInt32]> = {
        $0.eventLoop.makeSucceededFuture([])
    }
    package var access = AccessPolicy()
    /// Told of each answered request.
    package var onRequest: @Sendable (RequestRecord) -> Void
    /// Told of each piece of an answer, so many seconds after its request or the piece before it.
    package var onPiece: @Sendable (_ seconds: Double, _ isFirst: Bool) -> Void = { _, _ in }
    /// The answer of `/metrics`; nil where there is none.
    package var metrics: (@Sendable (ServerLoad) -> String)?
    /// Told that a connection could not be accepted, by accept(2)'s error; it is tried again.
    package var onAcceptFailure: @Sendable (any Error) -> Void = { _ in }
    /// Asked to give freed memory back to the system when a crowd of clients is over.
    package var releaseMemory: @Sendable () -> Void = {}

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
