// What curl(1) is told, in the words of its configuration files on standard input: an address or a
// token among its arguments would be everybody's to see.

internal import LinuxSystem

enum CurlOptions {
    /// Statuses of curl(1) that no second attempt mends: no such protocol, host or port, no trust.
    static let cannotMend: Set<Int32> = [1, 2, 3, 5, 6, 7, 35, 47, 51, 58, 60, 77]
    private static let connectSeconds = 30
    private static let redirectsMax = 10

    /// - Parameter place: the first byte that is wanted.
    static func text(
        _ address: ModelAddress, from place: UInt64, _ patience: DownloadPatience
    ) -> String {
        let protocols = address.isSecure ? "=https" : "=http,https"
        var lines = [
            "url = \(quoted(address.url))", "proto = \(quoted(protocols))",
            "proto-redir = \(quoted(protocols))", "globoff", "location",
            "max-redirs = \(redirectsMax)", "include", "suppress-connect-headers", "silent",
            "show-error", "user-agent = \(quoted("sluice"))",
            "connect-timeout = \(connectSeconds)",
            // We look at the clock ourselves; this ends what is left alone.
            "speed-limit = 1", "speed-time = \(patience.stallSeconds * 2 + connectSeconds)"
        ]
        if place > 0 { lines.append("range = \(quoted("\(place)-"))") }
        // curl keeps it from other hosts than the address's.
        if let token = address.token {
            lines.append("header = \(quoted("Authorization: Bearer \(token)"))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.flatMap { character -> [Character] in
            switch character {
            case "\"", "\\": ["\\", character]
            case "\n", "\r\n": ["\\", "n"]
            default: [character]
            }
        }
        return "\"\(String(escaped))\""
    }

    /// What an answer's status means, and how the program ends then.
    static func refusal(_ status: Int, hasToken: Bool) -> (words: String, ExitStatus) {
        switch status {
        case 401, 403:
            let token = hasToken ? "the token in $HF_TOKEN does not open it" : "it is not public"
            return ("the server refuses it (\(status)): \(token)", .notPermitted)
        case 404, 410: return ("there is no such file (\(status))", .noInput)
        default: return ("the server answers \(status)", .unavailable)
        }
    }
}
