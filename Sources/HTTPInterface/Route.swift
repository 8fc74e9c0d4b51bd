// The routes and their methods.

internal import NIOHTTP1
internal import Scheduling

/// What a request's path names.
enum Route: Equatable {
    case completion(CompletionKind)
    case models
    case model(String)
    case health

    /// The route of a request target (RFC 9112, origin form); the query is ignored. nil is 404.
    init?(target: String) {
        let path = target.prefix { $0 != "?" && $0 != "#" }
        switch path {
        case "/v1/chat/completions": self = .completion(.chat)
        case "/v1/completions": self = .completion(.text)
        case "/v1/models": self = .models
        case "/health": self = .health
        default:
            let prefix = "/v1/models/"
            guard path.hasPrefix(prefix), path.utf8.count > prefix.utf8.count,
                let name = Self.decodePercent(path.dropFirst(prefix.count))
            else { return nil }
            self = .model(name)
        }
    }

    /// The route's name in logs.
    var name: String {
        switch self {
        case .completion(.chat): "/v1/chat/completions"
        case .completion(.text): "/v1/completions"
        case .models: "/v1/models"
        case .model: "/v1/models/{id}"
        case .health: "/health"
        }
    }

    /// Refuses a method that the route does not have, with 405 and `Allow`.
    func check(method: HTTPMethod) throws(HTTPFailure) {
        let allowed: [HTTPMethod] =
            switch self {
            case .completion: [.POST]
            case .models, .model, .health: [.GET, .HEAD]
            }
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
