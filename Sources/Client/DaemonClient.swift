// The client: the daemon behind its Unix socket as a GenerationService, so that commands do not
// care where a model runs. One connection for each request.

package import GenerationAPI
internal import JSON
package import LinuxSystem
internal import ModelFormat
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Why the daemon could not be asked.
package enum DaemonClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Nobody listens.
    case unreachable(path: String, reason: String)
    case notPermitted(path: String)
    /// The connection ended before the answer.
    case interrupted(path: String)

    package var description: String {
        switch self {
        case .unreachable(let path, let reason):
            "no daemon answers at \(path) (\(reason)); start it with 'sluiced' or"
                + " 'systemctl start sluiced.socket', or use --local"
        case .notPermitted(let path):
            "\(path): not permitted; the daemon's socket is for its group, see socket_mode"
        case .interrupted(let path): "\(path): the daemon closed the connection"
        }
    }
}

extension DaemonClientError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .unreachable, .interrupted: .unavailable
        case .notPermitted: .notPermitted
        }
    }
}

/// Talks to the daemon at one socket. Ends its thread when let go.
package final class DaemonClient: GenerationService {
    package let path: String
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let sampling: SamplingOverrides?

    /// With `sampling`, orders carry just that and the daemon's defaults stand for the rest;
    /// without, they carry all of their own.
    package init(path: String, sampling: SamplingOverrides? = nil) {
        self.path = path
        self.sampling = sampling
    }

    deinit { group.shutdownGracefully { _ in } }

    /// The first of `paths` at which a daemon accepts a connection. Throws `DaemonClientError` of
    /// the first.
    package static func find(
        _ paths: [String], sampling: SamplingOverrides? = nil
    ) throws -> DaemonClient {
        var firstError: (any Error)?
        for path in paths {
            let client = DaemonClient(path: path, sampling: sampling)
            do {
                try client.connect { _ in }.wait().close().wait()
                return client
            } catch {
                firstError = firstError ?? client.translate(error)
            }
        }
        throw firstError ?? DaemonClientError.unreachable(path: "", reason: "no path is known")
    }

    private func connect(
        _ initialize: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try initialize(channel) }
        }.connect(unixDomainSocketPath: path)
    }

    private func translate(_ error: any Error) -> DaemonClientError {
        guard let error = error as? IOError else {
            return .unreachable(path: path, reason: "\(error)")
        }
        switch ErrorNumber(error.errnoCode) {
        case .noSuchFile: return .unreachable(path: path, reason: "no such socket")
        case .refused: return .unreachable(path: path, reason: "connection refused")
        case .notPermitted: return .notPermitted(path: path)
        case .other: return .unreachable(path: path, reason: "\(error)")
        }
    }

    // MARK: GenerationService

    package var state: ServiceState {
        guard let (status, body) = try? get("/health") else { return .draining }
        if status == 200 { return .ready(models: []) }
        let isLoading = body["error"]?["code"]?.string == "loading"
        return isLoading ? .loading(model: "") : .draining
    }

    package func models() throws(GenerationError) -> [ModelSummary] {
        let answer: (status: Int, body: JSONValue)
        do {
            answer = try get("/v1/models")
        } catch {
            throw GenerationError(.internalError, "\(error)")
        }
        guard answer.status == 200 else {
            throw ResponseReader.error(answer.body["error"], status: answer.status)
        }
        return (answer.body["data"]?.array ?? []).map { model in
            ModelSummary(
                name: model["id"]?.string ?? "",
                architecture: model["sluice"]?["architecture"]?.string,
                fileBytes: model["sluice"]?["file_bytes"]?.integer.flatMap {
                    UInt64(exactly: $0)
                } ?? 0,
                modified: model["created"]?.integer ?? 0,
                isLoaded: model["sluice"]?["loaded"]?.boolean ?? false,
                loaded: model["sluice"].flatMap(Self.loaded))
        }
    }

    /// Has a model unloaded when nobody uses it any more. Blocks.
    ///
    /// - Returns: whether it was loaded.
    /// - Throws: `GenerationError` where there is no such model.
    package func stop(model: String) throws -> Bool {
        let loaded = try models().filter(\.isLoaded).map(\.name)
        var body = Array("{\"keep_alive\":0,\"model\":".utf8)
        body.writeJSON(model)
        body.append(UInt8(ascii: "}"))
        let answer = try ask(.POST, "/api/generate", ByteBuffer(bytes: body))
        guard answer.status == 200 else {
            let problem = answer.body["error"]?.string ?? "status \(answer.status)"
            throw GenerationError(
                answer.status == 404 ? .modelNotFound : .internalError, problem)
        }
        return !ModelSummary.names(for: model).filter(loaded.contains).isEmpty
    }

    /// How a model runs; nil where the daemon does not say it.
    private static func loaded(_ model: JSONValue) -> LoadedModel? {
        guard let reads = model["reads"]?.string.flatMap(LoadedModel.Reads.init(rawValue:))
        else { return nil }
        func number(_ key: String) -> Int { Int(clamping: model[key]?.integer ?? 0) }
        let bits = model["kv_bits"]
        let format = (bits?.string ?? bits?.integer.map { "\($0)" }).flatMap { KVFormat($0) }
        let contextTokens = number("context_tokens")
        // What an older daemon does not say, it does not have.
        let hotTokens = model["context_tokens_in_memory"]?.integer.map { Int(clamping: $0) }
        var told = LoadedModel(
            reads: reads, readsReason: model["reads_because"]?.string,
            contextTokens: contextTokens,
            contextReason: model["context_because"]?.string ?? "",
            hotTokens: hotTokens ?? contextTokens,
            keyValueFormat: format ?? KVFormat(.half),
            memoryBytesMax: number("memory_limit_bytes"))
        told.sequencesMax = max(1, number("sessions_max"))
        return told
    }

    package func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket {
        let ticket = ClientTicket()
        guard [.answer, .prompt].contains(order.wanted) else {
            let problem = "tokens are asked for at /tokenize and /detokenize"
            onEvent(.failed(GenerationError(.invalidRequest, problem)))
            return ticket
        }
        let sampling = self.sampling ?? SamplingOverrides(order.sampling)
        let (route, body) = RequestEncoder.encode(order, sampling: sampling)
        let connected = connect { channel in
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            try channel.pipeline.syncOperations.addHandler(EventHandler(onEvent))
        }
        connected.whenComplete { [self] result in
            switch result {
            case .success(let channel):
                ticket.attach(channel)
                Self.send(.POST, route, body, on: channel)
            case .failure(let error):
                onEvent(.failed(GenerationError(.internalError, "\(translate(error))")))
            }
        }
        return ticket
    }

    private static func send(
        _ method: HTTPMethod, _ route: String, _ body: ByteBuffer?, on channel: any Channel
    ) {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: route)
        head.headers.add(name: "Host", value: "localhost")
        head.headers.add(name: "Connection", value: "close")
        // Where the daemon asks for one: access.tokens_required, or over a bridge.
        if let token = SystemCalls.environment("SLUICE_TOKEN") {
            head.headers.add(name: "Authorization", value: "Bearer \(token)")
        }
        if let body {
            head.headers.add(name: "Content-Type", value: "application/json")
            head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        }
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    /// Asks for a whole JSON object. Blocks.
    private func get(_ route: String) throws -> (status: Int, body: JSONValue) {
        try ask(.GET, route, nil)
    }

    private func ask(
        _ method: HTTPMethod, _ route: String, _ body: ByteBuffer?
    ) throws -> (status: Int, body: JSONValue) {
        let answer = group.next().makePromise(of: WholeAnswer.self)
        do {
            let channel = try connect { channel in
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                try channel.pipeline.syncOperations.addHandler(WholeAnswerHandler(answer))
            }.wait()
            Self.send(method, route, body, on: channel)
        } catch {
            let translated = translate(error)
            answer.fail(translated)
            throw translated
        }
        guard let whole = try? answer.futureResult.wait() else {
            throw DaemonClientError.interrupted(path: path)
        }
        return (whole.status, try JSONParser.parse(whole.body.readableBytesUInt8Span))
    }
}

/// Closing the connection is what cancels.
private final class ClientTicket: GenerationTicket {
    private enum State {
        case connecting
        case connected(any Channel)
        case cancelled
    }

    private let state = Mutex(State.connecting)

    func attach(_ channel: any Channel) {
        let isCancelled = state.withLock { state in
            if case .cancelled = state { return true }
            state = .connected(channel)
            return false
        }
        if isCancelled { channel.pipeline.fireUserInboundEventTriggered(Cancellation()) }
    }

    func cancel() {
        let channel: (any Channel)? = state.withLock { state in
            defer { state = .cancelled }
            if case .connected(let channel) = state { return channel }
            return nil
        }
        channel?.pipeline.fireUserInboundEventTriggered(Cancellation())
    }
}

private struct Cancellation: Sendable {}

/// An answer's parts as events.
private final class EventHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let onEvent: @Sendable (GenerationEvent) -> Void
    private var reader = ResponseReader(status: 0)
    private var isOver = false

    init(_ onEvent: @escaping @Sendable (GenerationEvent) -> Void) { self.onEvent = onEvent }

    private func emit(_ events: [GenerationEvent]) {
        for event in events where !isOver {
            if case .finished = event { isOver = true }
            if case .failed = event { isOver = true }
            onEvent(event)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .head(let head): reader = ResponseReader(status: Int(head.status.code))
        case .body(let bytes): emit(reader.read(bytes))
        case .end:
            emit(reader.end())
            context.close(promise: nil)
        }
        if isOver { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is Cancellation else { return context.fireUserInboundEventTriggered(event) }
        emit([.failed(GenerationError(.cancelled, "cancelled"))])
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        emit([
            .failed(GenerationError(.internalError, "the daemon closed the connection early"))
        ])
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        emit([.failed(GenerationError(.internalError, "the connection failed: \(error)"))])
        context.close(promise: nil)
    }
}

private struct WholeAnswer: Sendable {
    var status = 0
    var body = ByteBuffer()
}

private final class WholeAnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private var answer = WholeAnswer()
    private let promise: EventLoopPromise<WholeAnswer>

    init(_ promise: EventLoopPromise<WholeAnswer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .head(let head): answer.status = Int(head.status.code)
        case .body(let bytes):
            answer.body.writeImmutableBuffer(bytes)
            if answer.body.readableBytes > ResponseReader.bytesMax { context.close(promise: nil) }
        case .end:
            promise.succeed(answer)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(ChannelError.inputClosed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
