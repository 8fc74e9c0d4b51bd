// Who may ask: users, groups, tokens, names and origins, and how much of it one user may have.

import GenerationAPI
import HTTPInterface
import Testing

@Suite struct AccessTests {
    private static let bridge: UInt32 = 990
    private static let secret = "0123456789abcdef"

    private static func policy(tokens: [String] = [], origins: Set<String> = []) -> AccessPolicy {
        var policy = AccessPolicy()
        policy.bridgeUsers = [bridge]
        policy.hosts = ["localhost", "127.0.0.1", "[::1]"]
        policy.origins = origins
        policy.tokens = tokens.enumerated().map {
            AccessPolicy.Token(bytes: Array($1.utf8), user: 1 << 31 | UInt32($0))
        }
        return policy
    }

    private static func head(
        _ target: String = "/v1/models", _ headers: [String], method: String = "GET"
    ) -> String {
        (["\(method) \(target) HTTP/1.1"] + headers + ["Connection: close"])
            .joined(separator: "\r\n") + "\r\n\r\n"
    }

    private func status(
        _ server: TestServer, as user: UInt32?, _ headers: [String], _ target: String = "/v1/models"
    ) throws -> Int {
        server.identify(as: 77, user: user)
        return try server.raw(Self.head(target, headers)).status
    }

    @Test func listsSayWhoMayAsk() throws {
        var policy = AccessPolicy()
        policy.users = [0, 1001]
        let server = try TestServer(access: policy)
        defer { server.stop() }
        #expect(try status(server, as: 1001, ["Host: x"]) == 200)
        #expect(try status(server, as: 0, ["Host: x"]) == 200)
        for stranger in [nil, 1002] as [UInt32?] {
            #expect(try status(server, as: stranger, ["Host: x"]) == 403)
            #expect(try status(server, as: stranger, ["Host: x"], "/health") == 200)
        }
        let refused = try server.raw(Self.head("/api/tags", ["Host: x"]))
        #expect(refused.body.hasPrefix("{\"error\":\"this user may not"), "\(refused.body)")
        let other = try server.raw(
            Self.head("/v1/messages", ["Host: x", "Content-Length: 2"], method: "POST"))
        #expect(other.body.contains("\"type\":\"permission_error\""), "\(other.body)")
    }

    @Test(arguments: [([7], 200), ([8, 1000], 200), ([8], 403)] as [(Set<UInt32>, Int)])
    func anyGroupSuffices(_ groups: Set<UInt32>, _ expected: Int) throws {
        var policy = AccessPolicy()
        policy.groups = groups
        let server = try TestServer(access: policy)
        defer { server.stop() }
        #expect(try status(server, as: 5, ["Host: x"]) == expected)
    }

    @Test func theBridgeNeedsATokenWhereThereAreAny() throws {
        let other = "ZZZZ" + Self.secret
        let server = try TestServer(access: Self.policy(tokens: [other, Self.secret]))
        defer { server.stop() }
        let host = "Host: localhost:11434"
        for shown in [
            "Authorization: Bearer \(Self.secret)", "authorization: bearer \(other)",
            "X-Api-Key: \(Self.secret)"
        ] {
            #expect(try status(server, as: Self.bridge, [host, shown]) == 200, "\(shown)")
        }
        for shown in [
            "X: y", "Authorization: Bearer", "Authorization: Bearer ",
            "Authorization: Basic \(Self.secret)", "X-Api-Key: \(Self.secret)0",
            "X-Api-Key: \(Self.secret.dropLast())", "X-Api-Key: \(Self.secret)\(Self.secret)",
            "X-Api-Key: " + String(repeating: "a", count: 600)
        ] {
            #expect(try status(server, as: Self.bridge, [host, shown]) == 401, "\(shown)")
        }
        #expect(try status(server, as: Self.bridge, [host], "/health") == 200)
        // At the socket itself the kernel's word will do.
        #expect(try status(server, as: 5, ["Host: x"]) == 200)
        server.identify(as: 77, user: Self.bridge)
        let denied = try server.raw(
            Self.head("/v1/messages", [host, "Content-Length: 2"], method: "POST"))
        #expect(denied.status == 401 && denied.headers["www-authenticate"] == "Bearer")
        #expect(denied.body.contains("\"type\":\"authentication_error\""), "\(denied.body)")
        #expect(!denied.body.contains(Self.secret))
    }

    @Test func tokensMayBeAskedOfAllAndOpenListsForTheBridge() throws {
        var policy = Self.policy(tokens: [Self.secret])
        policy.tokensRequired = true
        policy.users = [0, 5]
        let server = try TestServer(access: policy)
        defer { server.stop() }
        let shown = "X-Api-Key: \(Self.secret)"
        #expect(try status(server, as: 5, ["Host: x"]) == 401)
        #expect(try status(server, as: 5, ["Host: x", shown]) == 200)
        #expect(try status(server, as: 6, ["Host: x", shown]) == 403)
        #expect(try status(server, as: Self.bridge, ["Host: localhost", shown]) == 200)
    }

    /// A list is no list when everybody can go round it over TCP.
    @Test func listsHoldOnTheBridge() throws {
        var policy = Self.policy()
        policy.users = [0, 5]
        let server = try TestServer(access: policy)
        defer { server.stop() }
        #expect(try status(server, as: Self.bridge, ["Host: localhost"]) == 403)
        // The bridge is in the socket's group, so that it can open it.
        policy.groups = [7]
        let grouped = try TestServer(access: policy)
        defer { grouped.stop() }
        #expect(try status(grouped, as: Self.bridge, ["Host: localhost"]) == 403)
        #expect(try status(grouped, as: 6, ["Host: localhost"]) == 200)
    }

    /// Whom the kernel does not name may have come from anywhere.
    @Test func whoHasNoNameIsABridge() throws {
        let server = try TestServer(access: Self.policy(tokens: [Self.secret]))
        defer { server.stop() }
        #expect(try status(server, as: nil, ["Host: localhost"]) == 401)
        #expect(try status(server, as: nil, ["Host: evil.example"]) == 403)
        let shown = "X-Api-Key: \(Self.secret)"
        #expect(try status(server, as: nil, ["Host: localhost", shown]) == 200)
        // A process of another namespace has no number, and its user is who it is.
        server.identify(as: 0, user: Self.bridge)
        #expect(try server.raw(Self.head("/v1/models", ["Host: localhost"])).status == 401)
        server.identify(as: 0, user: 5)
        #expect(try server.raw(Self.head("/v1/models", ["Host: localhost"])).status == 200)
    }

    /// What anybody may read takes nothing from anybody.
    @Test func bodiesAreTakenOnlyOfThoseWhoMayAsk() throws {
        let server = try TestServer(access: Self.policy(tokens: [Self.secret]))
        defer { server.stop() }
        let host = "Host: localhost"
        for target in ["/health", "/"] {
            #expect(try status(server, as: Self.bridge, [host], target) == 200)
            #expect(try status(server, as: Self.bridge, [host, "Content-Length: 0"], target) == 200)
            let more = "Content-Length: 9000"
            #expect(try status(server, as: Self.bridge, [host, more], target) == 401)
        }
    }

    @Test func theBridgeIsCalledByItsNames() throws {
        let server = try TestServer(access: Self.policy())
        defer { server.stop() }
        for name in ["localhost", "LOCALHOST:11434", "localhost.:1", "127.0.0.1:80", "[::1]:8"] {
            #expect(try status(server, as: Self.bridge, ["Host: \(name)"]) == 200, "\(name)")
        }
        for name in ["evil.example", "localhost.evil.example", "127.0.0.10", "[::2]"] {
            #expect(try status(server, as: Self.bridge, ["Host: \(name)"]) == 403, "\(name)")
        }
        let target = "http://evil.example/v1/models"
        #expect(try status(server, as: Self.bridge, ["Host: localhost"], target) == 403)
        #expect(try status(server, as: 5, ["Host: evil.example"]) == 200)
    }

    @Test func pagesOfOtherOriginsAreKeptOut() throws {
        let server = try TestServer(access: Self.policy())
        defer { server.stop() }
        let host = "Host: localhost:11434"
        for (origin, expected) in [
            ("http://evil.example", 403), ("null", 403), ("http://localhost:11434", 200),
            ("https://localhost:11434", 403)
        ] {
            let headers = [host, "Origin: \(origin)"]
            #expect(try status(server, as: Self.bridge, headers) == expected, "\(origin)")
        }
        #expect(try status(server, as: 5, ["Host: x", "Origin: http://evil.example"]) == 200)
        server.identify(as: 1, user: 5)
        let reply = try server.raw(Self.head("/v1/models", ["Host: x", "Origin: http://a"]))
        #expect(reply.headers["access-control-allow-origin"] == nil)
        let asked = try server.raw(
            Self.head(
                "/v1/models",
                ["Host: x", "Origin: http://a", "Access-Control-Request-Method: GET"],
                method: "OPTIONS"))
        #expect(asked.status == 405)
    }

    @Test func pagesOfListedOriginsMayAskAndRead() throws {
        let page = "http://localhost:3000"
        let server = try TestServer(
            access: Self.policy(tokens: [Self.secret], origins: [page]))
        defer { server.stop() }
        server.identify(as: 1, user: Self.bridge)
        let from = ["Host: localhost", "Origin: \(page)"]
        let asked = try server.raw(
            Self.head(
                "/v1/chat/completions",
                from + [
                    "Access-Control-Request-Method: POST",
                    "Access-Control-Request-Headers: authorization, x-stainless-os, a<b"
                ], method: "OPTIONS"))
        #expect(asked.status == 200 && asked.body.isEmpty)
        #expect(asked.headers["access-control-allow-origin"] == page)
        #expect(asked.headers["vary"] == "Origin")
        #expect(asked.headers["access-control-allow-headers"] == "authorization, x-stainless-os")
        // A refusal is the page's to read, too.
        let denied = try server.raw(Self.head("/v1/models", from))
        #expect(denied.status == 401 && denied.headers["access-control-allow-origin"] == page)
        let answered = try server.raw(
            Self.head("/v1/models", from + ["Authorization: Bearer \(Self.secret)"]))
        #expect(answered.status == 200)
        #expect(answered.headers["access-control-allow-origin"] == page)
    }

    @Test func oneUserHasSoManyAtOnce() throws {
        var policy = AccessPolicy()
        policy.requestsPerUserMax = 2
        let server = try TestServer(access: policy)
        defer { server.stop() }
        server.identify(as: 1, user: 5)
        let open = try (0..<2).map { _ in try server.complete("queued") }
        #expect(eventually { server.service.orders.count == 2 })
        server.identify(as: 2, user: 5)
        for (route, status) in [
            ("/v1/completions", 429), ("/v1/messages", 429), ("/api/generate", 503)
        ] {
            let body =
                route == "/v1/messages"
                ? #"{"max_tokens":1,"messages":[{"role":"user","content":"a"}]}"#
                : #"{"model":"m","prompt":"a"}"#
            let refused = try server.request("POST", route, body)
            #expect(refused.status == status, "\(route) \(refused)")
            #expect(refused.body.contains("a user may have 2 requests at once"), "\(refused)")
            #expect(refused.headers["retry-after"] == "1")
        }
        // Others are not shut out.
        server.identify(as: 3, user: 6)
        #expect(try server.request("POST", "/v1/completions", #"{"prompt":"a"}"#).status == 200)
        for socket in open { socket.close() }
    }
}
