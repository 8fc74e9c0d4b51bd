// What a profile says of access, made into a policy: names, files of tokens, and what is wrong with
// them.

import Glibc
import HTTPInterface
import Knobs
import Service
import Testing

@Suite struct AccessReaderTests {
    private let directory = TemporaryDirectory()
    private static let tokens = ["abcdefghijklmnop", "qrstuvwxyz-012345"]

    private func reader(_ text: String) throws -> AccessReader {
        let users = directory.write(
            "root:x:0:0::/:/bin/sh\nalice:x:1001:100:A,B:/:/bin/sh\nbroken:x\n:x:5:5\n"
                + "alice:x:9:9::/:\nsluice-bridge:x:990:990::/:\n", to: "passwd")
        let groups = directory.write("root:x:0:\nstaff:x:50:alice,bob\n", to: "group")
        let profile = try Profile(text: "[access]\n\(text)", file: "p")
        return AccessReader(profile.access, accounts: Accounts(users: users, groups: groups))
    }

    @Test func nothingSaidIsWhoeverMayConnect() throws {
        var reader = try reader("")
        let policy = try reader.policy()
        #expect(policy.users == nil && policy.groups == nil && policy.tokens.isEmpty)
        #expect(policy.bridgeUsers == [990])
        #expect(policy.hosts == ["localhost", "127.0.0.1", "[::1]"])
        #expect(reader.notices.isEmpty)
    }

    @Test func namesBecomeNumbers() throws {
        var reader = try reader("users = \"  alice   1007 nobody-here\"\ngroups = \"staff 7\"")
        let policy = try reader.policy()
        #expect(policy.users == [0, geteuid(), 1001, 1007])
        #expect(policy.groups == [50, 7])
        #expect(reader.notices.count == 1 && reader.notices[0].contains("'nobody-here'"))
    }

    /// A list of names that nobody has lets nobody in.
    @Test func aListOfStrangersIsStillAList() throws {
        var reader = try reader("users = \"alise\"")
        #expect(try reader.policy().users == [0, geteuid()])
    }

    @Test func groupsAloneKeepOthersOut() throws {
        var reader = try reader("groups = \"staff\"")
        let policy = try reader.policy()
        #expect(policy.users == [0, geteuid()] && policy.groups == [50])
    }

    /// Tokens that nobody would be asked for keep nobody out.
    @Test func aBridgeThatNobodyIsIsTold() throws {
        var reader = try reader("bridge_users = \"sluice-brigde\"")
        #expect(try reader.policy().bridgeUsers == [])
        #expect(reader.notices.count == 1 && reader.notices[0].contains("'sluice-brigde'"))
        let file = directory.write(Self.tokens[0], to: "tokens")
        unsafe chmod(file, 0o640)
        let both = "tokens_file = \"\(file)\"\nbridge_users = \"sluice-brigde\"\n"
        var second = try self.reader(both)
        #expect(throws: ConfigurationError.self) { try second.policy() }
        var third = try self.reader(both + "tokens_required = true")
        #expect(try third.policy().tokens.count == 1)
    }

    @Test func tokensAreOneOnEachLine() throws {
        let text = "# of the kitchen\n\(Self.tokens[0])\r\n\n  \(Self.tokens[1])\t"
        let file = directory.write(text, to: "tokens")
        unsafe chmod(file, 0o640)
        var reader = try reader("tokens_file = \"\(file)\"")
        let policy = try reader.policy()
        #expect(policy.tokens.count == 2 && reader.notices.isEmpty)
        // No user of a system has such a number.
        let again = try reader.policy()
        #expect(policy == again)
        unsafe chmod(file, 0o644)
        _ = try reader.policy()
        #expect(reader.notices.count == 1 && reader.notices[0].contains("chmod o="))
    }

    @Test(arguments: [
        ("short\n", "tokens:1:"), ("abcdefghijklmnop\nwith a space in it\n", "tokens:2:"),
        ("# nothing\n", "expected 1 to"), ("abcdefghijklmno\u{e9}\n", "tokens:1:")
    ])
    func brokenFilesAreRefusedWithoutTheirTokens(_ text: String, _ expected: String) throws {
        let file = directory.write(text, to: "tokens")
        var reader = try reader("tokens_file = \"\(file)\"")
        do {
            _ = try reader.policy()
            Issue.record("taken")
        } catch {
            #expect("\(error)".contains(expected), "\(error)")
            #expect(!"\(error)".contains("abc") && !"\(error)".contains("space"), "\(error)")
        }
    }

    @Test(arguments: [
        "tokens_required = true", "tokens_file = \"/nonexistent/tokens\"",
        "tokens_file = \"/dev/zero\""
    ])
    func tokensThatAreNotThereAreRefused(_ text: String) throws {
        var reader = try reader(text)
        #expect(throws: ConfigurationError.self) { try reader.policy() }
    }

    @Test(arguments: [
        "users = \"a:b\"", "hosts = \"localhost:80\"", "hosts = \"http://localhost\"",
        "origins = \"localhost:3000\"", "origins = \"http://a/\"", "origins = \"*\"",
        "tokens_required = \"true\"", "requests_per_user_max = 0", "users = 5"
    ])
    func whatCannotBeIsRefused(_ text: String) {
        #expect(throws: ConfigurationError.self) { try reader(text) }
    }
}
