// Who may ask, and how much at once: users and groups as the kernel names them, tokens, the names
// and origins that browsers send. A value; what it is made of is read elsewhere.

internal import NIOCore
internal import NIOHTTP1

/// What the kernel says of a connection's other end.
package struct ConnectionPeer: Sendable, Equatable {
    /// nil where the kernel does not say.
    package var user: UInt32?
    package var groups: [UInt32] = []

    package init(user: UInt32? = nil, groups: [UInt32] = []) {
        self.user = user
        self.groups = groups
    }
}

/// Decides by a request's head and its connection's user.
package struct AccessPolicy: Sendable, Equatable {
    /// A secret that a client shows, and the user that it stands for where the kernel's word says
    /// nothing, which is on the bridge.
    package struct Token: Sendable, Equatable {
        let bytes: [UInt8]
        let user: UInt32

        package init(bytes: [UInt8], user: UInt32) {
            self.bytes = bytes
            self.user = user
        }
    }

    /// Users that may ask, and groups any of which suffices; both nil is whoever may connect.
    package var users: Set<UInt32>?
    package var groups: Set<UInt32>?
    /// Users whose connections come from elsewhere: a bridge from TCP.
    package var bridgeUsers: Set<UInt32> = []
    package var tokens: [Token] = []
    /// Whether whoever connects to the socket itself needs a token, too.
    package var tokensRequired = false
    /// Names by which the bridge may be called, in lower case, without ports.
    package var hosts: Set<String> = []
    /// Origins of web pages that may ask, as browsers write them.
    package var origins: Set<String> = []
    /// Requests of one user that are being answered or wait, at once.
    package var requestsPerUserMax: Int?
    /// Of those, how many may wait.
    package var queuePerUserMax: Int?

    /// Everybody who can connect, as much as they like.
    package init() {}

    private var isRestricted: Bool { users != nil || groups != nil }

    /// Longest token that is looked at.
    package static let tokenBytesMax = 512

    /// Refuses a request that may not be made. Returns the user of the token that it showed on the
    /// bridge.
    func check(
        _ head: HTTPRequestHead, from peer: ConnectionPeer
    ) throws(HTTPFailure) -> UInt32? {
        if Self.isOpen(head, .health) { return nil }
        // Whom the kernel does not name is nobody of this machine.
        let isBridged = peer.user.map(bridgeUsers.contains) ?? !bridgeUsers.isEmpty
        if isBridged {
            try requireHost(head)
            try requireOrigin(head)
        }
        // The page asks for a token itself; nothing is told here that the source does not say.
        if Self.isOpen(head, .root) { return nil }
        // A browser asks first, without a token, whether it may ask.
        if isPreflight(head), !Self.hasBody(head) { return nil }
        let token = tokens.isEmpty ? nil : tokenShown(head)
        guard token != nil || !tokensRequired && !(isBridged && !tokens.isEmpty) else {
            throw .tokenNeeded
        }
        guard isBridged && token != nil || allows(peer, isBridged: isBridged) else {
            throw .userRefused
        }
        return isBridged ? token?.user : nil
    }

    /// What anybody may read: whether the service is well, and its page.
    private static func isOpen(_ head: HTTPRequestHead, _ route: Route) -> Bool {
        (head.method == .GET || head.method == .HEAD) && !hasBody(head)
            && Route(target: head.uri) == route
    }

    /// A body takes memory that others may need: from whom nobody has checked there is none.
    private static func hasBody(_ head: HTTPRequestHead) -> Bool {
        head.headers.contains(name: "transfer-encoding")
            || head.headers["content-length"].contains { $0 != "0" }
    }

    /// The bridge has the socket's group so that it can open it: that lets nobody in.
    private func allows(_ peer: ConnectionPeer, isBridged: Bool) -> Bool {
        guard isRestricted else { return true }
        guard let user = peer.user else { return false }
        if users?.contains(user) == true { return true }
        return !isBridged && peer.groups.contains { groups?.contains($0) == true }
    }

    // MARK: what browsers send

    /// A page of elsewhere may be given the bridge's address under its own name (DNS rebinding);
    /// the browser then sends that name.
    private func requireHost(_ head: HTTPRequestHead) throws(HTTPFailure) {
        let names = head.headers["host"] + (Self.authority(of: head.uri).map { [$0] } ?? [])
        guard !names.isEmpty, names.allSatisfy({ hosts.contains(Self.hostName(of: $0)) }) else {
            throw .hostRefused
        }
    }

    /// The name of `name:port` in lower case, without a final dot.
    private static func hostName(of text: String) -> String {
        let lower = text.lowercased()
        if lower.hasPrefix("["), let end = lower.firstIndex(of: "]") {
            return String(lower[...end])
        }
        let name = lower.prefix { $0 != ":" }
        return String(name.hasSuffix(".") ? name.dropLast() : name)
    }

    /// What a target in absolute form names.
    private static func authority(of target: String) -> String? {
        guard let mark = target.firstRange(of: "://"), !target.hasPrefix("/") else { return nil }
        return String(target[mark.upperBound...].prefix { !"/?#".contains($0) })
    }

    /// A page that the daemon serves itself is no stranger.
    private func requireOrigin(_ head: HTTPRequestHead) throws(HTTPFailure) {
        for origin in head.headers["origin"] where !origins.contains(origin) {
            let own = head.headers["host"].map { "http://\($0)" }
            guard own.contains(origin) else { throw .originRefused }
        }
    }

    /// The listed origin that a request is from: its page may read the answer.
    func allowedOrigin(of head: HTTPRequestHead) -> String? {
        guard !origins.isEmpty else { return nil }
        let sent = head.headers["origin"]
        return sent.count == 1 ? sent.first.flatMap { origins.contains($0) ? $0 : nil } : nil
    }

    /// Whether a browser asks if a page of a listed origin may ask.
    func isPreflight(_ head: HTTPRequestHead) -> Bool {
        head.method == .OPTIONS && allowedOrigin(of: head) != nil
            && head.headers.contains(name: "access-control-request-method")
    }

    /// The answer's headers. What a page may send is what it asked for: the token decides, not
    /// headers.
    static func preflightHeaders(_ head: HTTPRequestHead) -> HTTPHeaders {
        var headers = HTTPHeaders([
            ("Access-Control-Allow-Methods", "GET, HEAD, POST"), ("Access-Control-Max-Age", "600")
        ])
        let wanted = head.headers.tokens("access-control-request-headers")
        let names = wanted.filter { name in
            name.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 32)
            }
        }
        if !names.isEmpty {
            headers.add(name: "Access-Control-Allow-Headers", value: names.joined(separator: ", "))
        }
        return headers
    }

    // MARK: tokens

    /// The token that a request shows, as OpenAI's clients or as Anthropic's do.
    private func tokenShown(_ head: HTTPRequestHead) -> Token? {
        let scheme = "bearer "
        var shown = head.headers["x-api-key"]
        for value in head.headers["authorization"]
        where value.prefix(scheme.count).lowercased() == scheme {
            shown.append(String(value.dropFirst(scheme.count)))
        }
        return shown.prefix(2).lazy.compactMap { token(Array($0.utf8)) }.first
    }

    /// The token of these bytes. All tokens are compared and all bytes looked at, however early
    /// they differ: how long it takes says nothing of them.
    private func token(_ shown: [UInt8]) -> Token? {
        guard shown.count <= Self.tokenBytesMax else { return nil }
        var found: Token?
        for token in tokens {
            var difference = UInt64(bitPattern: Int64(token.bytes.count ^ shown.count))
            for (index, byte) in shown.enumerated() {
                difference |= UInt64(byte ^ token.bytes[index % token.bytes.count])
            }
            if difference == 0 { found = token }
        }
        return found
    }
}

extension HTTPFailure {
    static let userLimitCode = "user_limit"

    static var tokenNeeded: HTTPFailure {
        var failure = HTTPFailure(
            .unauthorized,
            "a token is needed, and this is none: send Authorization: Bearer TOKEN, or x-api-key",
            type: "authentication_error", code: "invalid_api_key")
        failure.challenge = "Bearer"
        return failure
    }

    static var userRefused: HTTPFailure {
        HTTPFailure(
            .forbidden, "this user may not use the service (access.users, access.groups)",
            type: "permission_error", code: "user_not_allowed")
    }

    static var hostRefused: HTTPFailure {
        HTTPFailure(
            .forbidden, "the service is not called by this name here (access.hosts)",
            type: "permission_error", code: "host_not_allowed")
    }

    static var originRefused: HTTPFailure {
        HTTPFailure(
            .forbidden, "pages of this origin may not use the service (access.origins)",
            type: "permission_error", code: "origin_not_allowed")
    }

    static func tooMany(_ what: String) -> HTTPFailure {
        HTTPFailure(
            .tooManyRequests, "\(what); try again when one is answered",
            type: "rate_limit_error", code: userLimitCode, retrySeconds: 1)
    }
}
