// A connection under the policy: who it is, whether its request may be made, and what browsers are
// told.

internal import GenerationAPI
internal import NIOCore
internal import NIOHTTP1

extension ConnectionHandler {
    /// Refuses what the policy does. A token's user is whose turn and whose prefixes they are.
    func admit(_ head: HTTPRequestHead) throws(HTTPFailure) {
        let access = state.configuration.access
        allowedOrigin = access.allowedOrigin(of: head)
        let user = try access.check(head, from: peer)
        client = ClientID(rawValue: client.rawValue, user: user ?? peer.user)
    }

    /// Tells a browser that a page may ask.
    func answerPreflight(_ head: HTTPRequestHead) {
        guard case .answering(var answering) = phase else { return }
        answering.record.status = Int(HTTPResponseStatus.ok.code)
        phase = .answering(answering)
        sendWhole(
            .ok, AccessPolicy.preflightHeaders(head), ByteBuffer(), to: answering.request,
            keepsAlive: answering.keepsAlive)
    }

    /// The page of a listed origin may read the answer.
    func addOrigin(to head: inout HTTPResponseHead) {
        guard let allowedOrigin else { return }
        head.headers.add(name: "Access-Control-Allow-Origin", value: allowedOrigin)
        head.headers.add(name: "Vary", value: "Origin")
    }
}

extension ServerState {
    /// Refuses one more generation of a user who has as many as a user may.
    func requireTurn(for client: ClientID) throws(HTTPFailure) {
        let access = configuration.access
        guard access.requestsPerUserMax != nil || access.queuePerUserMax != nil else { return }
        let own = generating.filter {
            client.user == nil ? $0.client == client : $0.client.user == client.user
        }
        if let most = access.requestsPerUserMax, own.count >= most {
            throw .tooMany("a user may have \(most) requests at once, waiting ones included")
        }
        if let most = access.queuePerUserMax, own.count(where: { $0.running == nil }) >= most {
            throw .tooMany("a user may have \(most) requests waiting")
        }
    }
}
