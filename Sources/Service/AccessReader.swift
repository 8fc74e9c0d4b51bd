// From what a profile says of access to the policy: names become numbers, the file of tokens is
// read. No message has a token in it.

internal import Glibc
package import HTTPInterface
package import Knobs
internal import LinuxSystem
internal import ModelFormat

/// Reads what the `[access]` of a profile names.
package struct AccessReader {
    private static let tokensFileBytesMax = 1 << 20
    private static let tokenBytesMin = 16
    private static let tokensMax = 1000

    private let access: Profile.Access
    private var accounts: Accounts
    package private(set) var notices: [String] = []

    package init(_ access: Profile.Access, accounts: Accounts = Accounts()) {
        self.access = access
        self.accounts = accounts
    }

    /// - Throws: `ConfigurationError` when tokens cannot be read, are asked for and there are none,
    ///   or would be asked of nobody.
    package mutating func policy() throws(ConfigurationError) -> AccessPolicy {
        var policy = AccessPolicy()
        // The package makes the usual one; who has no bridge has none to name.
        let isUsual = access.bridgeUsers == Profile().access.bridgeUsers
        policy.bridgeUsers = users(access.bridgeUsers, key: isUsual ? nil : "access.bridge_users")
        if !access.users.isEmpty || !access.groups.isEmpty {
            policy.users = users(access.users, key: "access.users").union([0, geteuid()])
        }
        if !access.groups.isEmpty { policy.groups = groups(access.groups) }
        policy.hosts = Set(access.hosts.split(separator: " ").map { $0.lowercased() })
        policy.origins = Set(access.origins.split(separator: " ").map(String.init))
        policy.requestsPerUserMax = access.requestsPerUserMax
        policy.queuePerUserMax = access.queuePerUserMax
        policy.tokensRequired = access.tokensRequired
        if let path = access.tokensFile ?? Self.credential { policy.tokens = try tokens(path) }
        guard !access.tokensRequired || !policy.tokens.isEmpty else {
            throw ConfigurationError(
                file: "access.tokens_required",
                "there are no tokens: set access.tokens_file, or the credential sluice-tokens")
        }
        guard access.tokensRequired || policy.tokens.isEmpty || !policy.bridgeUsers.isEmpty else {
            throw ConfigurationError(
                file: "access.bridge_users",
                "there are tokens, and nobody of whom they would be asked: /etc/passwd has no user "
                    + "'\(access.bridgeUsers)'. Name the bridge's user, or set "
                    + "access.tokens_required")
        }
        return policy
    }

    /// The file of systemd's credential, where the unit was given one.
    static var credential: String? {
        guard let folder = SystemCalls.environment("CREDENTIALS_DIRECTORY") else { return nil }
        let path = folder + "/sluice-tokens"
        return unsafe Glibc.access(path, F_OK) == 0 ? path : nil
    }

    /// - Parameter key: who is to be told of a name that nobody has; nil where that is usual.
    private mutating func users(_ names: String, key: String?) -> Set<UInt32> {
        var numbers: Set<UInt32> = []
        for name in names.split(separator: " ") {
            if let number = accounts.user(name) {
                numbers.insert(number)
            } else if let key {
                notices.append("\(key): /etc/passwd has no user '\(name)'; a number would do")
            }
        }
        return numbers
    }

    private mutating func groups(_ names: String) -> Set<UInt32> {
        var numbers: Set<UInt32> = []
        for name in names.split(separator: " ") {
            if let number = accounts.group(name) {
                numbers.insert(number)
            } else {
                notices.append(
                    "access.groups: /etc/group has no group '\(name)'; a number would do")
            }
        }
        return numbers
    }

    private mutating func tokens(
        _ path: String
    ) throws(ConfigurationError) -> [AccessPolicy.Token] {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try SystemCalls.readFile(path, bytesMax: Self.tokensFileBytesMax)
        } catch {
            throw ConfigurationError(
                file: path, "\(SystemError(error.call, errorNumber: error.errorNumber))")
        }
        var info = stat()
        if unsafe stat(path, &info) == 0, info.st_mode & 0o007 != 0 {
            notices.append("\(path): every user of this machine can read the tokens (chmod o=)")
        }
        var tokens: [AccessPolicy.Token] = []
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let text = line.drop(while: Self.isSpace).reversed().drop(while: Self.isSpace)
            let token = Array(text.reversed())
            guard let first = token.first, first != UInt8(ascii: "#") else { continue }
            let length = Self.tokenBytesMin...AccessPolicy.tokenBytesMax
            guard length.contains(token.count), token.allSatisfy({ (0x21...0x7E).contains($0) })
            else {
                throw ConfigurationError(
                    file: path, line: index + 1,
                    "expected a token of \(length.lowerBound) to \(length.upperBound) letters, "
                        + "digits and signs")
            }
            tokens.append(AccessPolicy.Token(bytes: token, user: Self.user(of: token)))
        }
        guard !tokens.isEmpty, tokens.count <= Self.tokensMax else {
            throw ConfigurationError(file: path, "expected 1 to \(Self.tokensMax) tokens")
        }
        return tokens
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }

    /// A number that no user of a system has (the upper half is nobody's), the same for as long as
    /// the token is.
    private static func user(of token: [UInt8]) -> UInt32 {
        var digest = SHA256()
        digest.add(unsafe token.span.bytes)
        return digest.words[0] | 1 << 31
    }
}
