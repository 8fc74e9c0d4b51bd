// The routes and their methods.

internal import GenerationAPI
internal import NIOHTTP1

/// What a request's path names.
enum Route: Equatable {
    case completion(CompletionKind, Dialect = .openAI)
    case ollama(OllamaRoute)
    /// What clients of Ollama look for first.
    case root
    case models
    case model(String)
    case health
    case properties
    case slots
    case metrics

    /// The routes that take no name, by path.
    private static let fixed: [(path: String, route: Route)] = [
        ("/v1/chat/completions", .completion(.chat)), ("/v1/completions", .completion(.text)),
        ("/apply-template", .completion(.template)), ("/v1/models", .models),
        ("/health", .health), ("/tokenize", .completion(.tokens)),
        ("/detokenize", .completion(.content)), ("/props", .properties),
        ("/slots", .slots), ("/metrics", .metrics),
        ("/api/chat", .completion(.chat, .ollama)), ("/api/generate", .completion(.text, .ollama)),
        ("/v1/embeddings", .completion(.embeddings)),
        ("/api/embed", .completion(.embeddings, .ollama)),
        ("/api/embeddings", .completion(.embedding, .ollama)),
        ("/v1/responses", .completion(.chat, .responses)),
        ("/v1/messages", .completion(.chat, .anthropic)),
        ("/v1/messages/count_tokens", .completion(.count, .anthropic)),
        ("/api/tags", .ollama(.tags)), ("/api/ps", .ollama(.running)),
        ("/api/show", .ollama(.show)), ("/api/version", .ollama(.version))
    ]

    /// The route of a request target in origin or absolute form (RFC 9112, 3.2.1 and 3.2.2), with
    /// or without `/v1`, doubled or trailing slashes or not; the query is ignored. nil is 404.
    init?(target: String) {
        let path = Self.path(of: target)
        if path == "/" {
            self = .root
            return
        }
        let places = [path, "/v1" + path]
        if let match = Self.fixed.first(where: { places.contains($0.path) }) {
            self = match.route
            return
        }
        let prefix = "/v1/models/"
        guard let place = places.first(where: { $0.hasPrefix(prefix) }),
            let name = Self.decodePercent(place.dropFirst(prefix.count)), !name.isEmpty
        else { return nil }
        self = .model(name)
    }

    /// The route that a target without one may have meant: in words, for a message.
    static func nearest(to target: String) -> String {
        let path = path(of: target)
        let meant = fixed.first { path.hasSuffix($0.path) }?.path
        guard let near = meant ?? NearestName.among(fixed.map(\.path), to: path),
            let route = fixed.first(where: { $0.path == near })?.route
        else { return "there are " + fixed.map(\.path).joined(separator: ", ") }
        return "did you mean \(route.methods[0].rawValue) \(near)?"
    }

    /// How the client speaks that asks for `target`.
    static func dialect(of target: String) -> Dialect {
        let path = path(of: target)
        if path == "/v1/messages" || path.hasPrefix("/v1/messages/")
            || path == "/messages" || path.hasPrefix("/messages/")
        {
            return .anthropic
        }
        if path == "/v1/responses" || path == "/responses" { return .responses }
        // `/api/v1` is somebody's who looks for OpenAI's.
        return path.hasPrefix("/api/") && !path.hasPrefix("/api/v1/") ? .ollama : .openAI
    }

    /// Whether a target's query has this field, with a value that is not 0 or false.
    static func has(_ field: String, in target: String) -> Bool {
        guard let start = target.firstIndex(of: "?") else { return false }
        let fields = target[target.index(after: start)...].prefix { $0 != "#" }.split(
            separator: "&")
        return fields.contains { text in
            let pair = text.split(separator: "=", maxSplits: 1)
            return pair.first == field[...]
                && !(pair.count == 2 && ["0", "false"].contains(pair[1]))
        }
    }

    /// The path of a target without scheme, authority and query, each slash once, none at its end.
    private static func path(of target: String) -> String {
        var rest = target.prefix { $0 != "?" && $0 != "#" }
        for scheme in ["http://", "https://"]
        where rest.prefix(scheme.count).lowercased() == scheme {
            rest = rest.dropFirst(scheme.count).drop { $0 != "/" }
        }
        return "/" + rest.split(separator: "/").joined(separator: "/")
    }

    /// The route's name in logs.
    var name: String {
        switch self {
        case .completion(.chat, .openAI): "/v1/chat/completions"
        case .completion(.text, .openAI): "/v1/completions"
        case .completion(.embeddings, .ollama): "/api/embed"
        case .completion(.embeddings, _): "/v1/embeddings"
        case .completion(.embedding, _): "/api/embeddings"
        case .completion(.chat, .ollama): "/api/chat"
        case .completion(.text, .ollama): "/api/generate"
        case .completion(.chat, .responses), .completion(.text, .responses): "/v1/responses"
        case .completion(.chat, .anthropic): "/v1/messages"
        case .completion(.text, .anthropic), .completion(.count, _): "/v1/messages/count_tokens"
        case .completion(.template, _): "/apply-template"
        case .completion(.tokens, _): "/tokenize"
        case .completion(.content, _): "/detokenize"
        case .ollama(.tags): "/api/tags"
        case .ollama(.running): "/api/ps"
        case .ollama(.show): "/api/show"
        case .ollama(.version): "/api/version"
        case .root: "/"
        case .properties: "/props"
        case .slots: "/slots"
        case .metrics: "/metrics"
        case .models: "/v1/models"
        case .model: "/v1/models/{id}"
        case .health: "/health"
        }
    }

    /// The methods that the route has.
    private var methods: [HTTPMethod] {
        switch self {
        case .completion, .ollama(.show): [.POST]
        case .models, .model, .health, .properties, .slots, .metrics, .ollama, .root:
            [.GET, .HEAD]
        }
    }

    /// Refuses a method that the route does not have, with 405 and `Allow`.
    func check(method: HTTPMethod) throws(HTTPFailure) {
        let allowed = methods
        guard !allowed.contains(method) else { return }
        let list = allowed.map(\.rawValue).joined(separator: ", ")
        var failure = HTTPFailure.badRequest(
            "\(name) takes \(list)", status: .methodNotAllowed, code: "method_not_allowed")
        failure.allowedMethods = list
        throw failure
    }

    /// `%XX` undone (RFC 3986); nil when malformed or not UTF-8.
    private static func decodePercent(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst(), let low = rest.popFirst(),
                let highDigit = Character(Unicode.Scalar(high)).hexDigitValue,
                let lowDigit = Character(Unicode.Scalar(low)).hexDigitValue
            else { return nil }
            bytes.append(UInt8(highDigit << 4 | lowDigit))
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
