// Who may ask the built daemon: users as the kernel names them, tokens, and both changed meanwhile.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct AccessTests {
    private static let tokens = ["kitchen-0123456789", "attic-0123456789"]

    /// Of a request for the models, with these of curl's arguments.
    private func status(_ daemon: Daemon, _ arguments: [String], as user: [String] = []) -> String {
        let command =
            user + [
                "/usr/bin/curl", "--silent", "--output", "/dev/null", "--write-out",
                "%{http_code}", "--unix-socket", daemon.socket
            ] + arguments + ["http://localhost/v1/models"]
        let ending = try? Program(path: command[0]).run(Array(command[1...]), in: daemon.scratch)
        return ending?.output ?? "not run"
    }

    @Test func theBridgesTokensAreReadAgain() throws {
        let scratch = try Scratch()
        let file = try scratch.write(Array("\(Self.tokens[0])\n".utf8), to: "tokens")
        let profile = "[access]\nbridge_users = \"\(geteuid())\"\ntokens_file = \"\(file)\"\n"
        let daemon = try Daemon(profile: profile)
        let shown = Self.tokens.map { ["--header", "Authorization: Bearer \($0)"] }
        #expect(status(daemon, []) == "401")
        #expect(status(daemon, shown[0]) == "200" && status(daemon, shown[1]) == "401")
        #expect(status(daemon, shown[0] + ["--header", "Host: evil.example"]) == "403")
        _ = try scratch.write(Array("\(Self.tokens[1])\n".utf8), to: "tokens")
        daemon.process.signal(SIGHUP)
        for _ in 0..<1000 where !daemon.log.contains("profile read again") {
            Thread.sleep(microseconds: 10_000)
        }
        #expect(status(daemon, shown[0]) == "401" && status(daemon, shown[1]) == "200")
        #expect(!Self.tokens.contains { daemon.log.contains($0) }, "\(daemon.log)")
        #expect(daemon.log.contains("who asks may not"), "\(daemon.log)")
        #expect(daemon.stop() == 0)
    }

    @Test func aProfileWithoutItsTokensIsRefused() throws {
        let scratch = try Scratch()
        let profile = try scratch.write(
            Array("[access]\ntokens_required = true\n".utf8), to: "p.toml")
        let ending = try Program.sluiced.run(["--check", "--profile", profile], in: scratch)
        #expect(ending.status == 78 && ending.errors.contains("there are no tokens"))
    }

    /// Users and supplementary groups are the kernel's word.
    @Test(.enabled(if: geteuid() == 0, "needs to become other users"))
    func usersAndGroupsAreTold() throws {
        let daemon = try Daemon(
            profile: """
                [service]
                socket_mode = "0666"
                [access]
                users = "64001"
                groups = "64100"
                """)
        unsafe chmod(daemon.scratch.folder, 0o755)
        func user(_ number: Int, _ groups: String...) -> [String] {
            [
                "/usr/bin/setpriv", "--reuid=\(number)", "--regid=64000",
                groups.isEmpty ? "--clear-groups" : "--groups=" + groups.joined(separator: ",")
            ]
        }
        #expect(status(daemon, []) == "200")
        #expect(status(daemon, [], as: user(64001)) == "200")
        #expect(status(daemon, [], as: user(64002)) == "403")
        #expect(status(daemon, [], as: user(64002, "64099", "64100")) == "200")
        #expect(status(daemon, [], as: user(64002, "64099")) == "403")
        #expect(daemon.stop() == 0)
    }
}
