// The units in systemd/ as systemd itself reads them: nothing it complains about, nothing more
// exposed than is promised, and each template the same as what it is a template of.

import LinuxSystem
import Testing

@Suite struct UnitFileTests {
    private static let folder =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/systemd"
    private static let hasAnalyzer = Shell.run("command -v systemd-analyze > /dev/null") == 0

    /// The statements of a unit, comments and empty lines left out.
    private static func statements(_ name: String) throws -> [String] {
        try #require(TextFile.read("\(folder)/\(name)"), "\(name)").split(separator: "\n")
            .map(String.init).filter { !$0.hasPrefix("#") }
    }

    /// The programs that units start need not be installed: others stand for them.
    @Test(.enabled(if: hasAnalyzer, "needs systemd-analyze"), arguments: ["", "/user"])
    func systemdHasNothingToSayOfThem(_ kind: String) {
        let scratch = TemporaryDirectory()
        let command = """
            cd '\(scratch.path)' && cp '\(Self.folder)\(kind)'/*.service \
            '\(Self.folder)\(kind)'/*.socket . && sed -i 's,/usr/bin/sluiced,/bin/true,' *.service \
            && for unit in *@.*; do [ -e "$unit" ] && mv "$unit" "${unit%@.*}@x.${unit##*.}"; done
            export SYSTEMD_UNIT_PATH='\(scratch.path):' XDG_RUNTIME_DIR='\(scratch.path)'
            systemd-analyze \(kind.isEmpty ? "" : "--user") verify *.service *.socket \
            > said 2>&1 && ! grep -q . said
            """
        #expect(Shell.run(command) == 0)
    }

    @Test(
        .enabled(if: hasAnalyzer, "needs systemd-analyze"),
        arguments: ["sluiced.service", "sluiced@.service", "sluiced-tcp.service"])
    func exposureIsAtMostAHalf(_ unit: String) {
        // In tenths.
        let command = """
            systemd-analyze security --offline=true --threshold=5 '\(Self.folder)/\(unit)' \
            > /dev/null
            """
        #expect(Shell.run(command) == 0)
    }

    @Test func instancesAreAsTheService() throws {
        for kind in ["service", "socket"] {
            let instance = try Self.statements("sluiced@.\(kind)").map { line in
                line.replacing(" (%i)", with: "").replacing("sluiced@%i", with: "sluiced")
                    .replacing(" --profile /etc/sluice/%i.toml", with: "")
                    .replacing("%i", with: "sluice")
            }
            #expect(try Self.statements("sluiced.\(kind)") == instance)
        }
    }

    /// The daemon tells users apart, which a namespace of its own would keep it from.
    @Test func theDaemonSeesItsClientsUsers() throws {
        let lines = try Self.statements("sluiced.service")
        #expect(!lines.contains { $0.hasPrefix("PrivateUsers=") || $0.hasPrefix("DynamicUser=") })
    }

    @Test func theBridgeIsOffAndOnLoopback() throws {
        let listens = try Self.statements("sluiced-tcp.socket").filter {
            $0.hasPrefix("ListenStream=")
        }
        #expect(listens == ["ListenStream=127.0.0.1:11434"])
        for name in ["sluiced.service", "sluiced.socket"] {
            #expect(try !Self.statements(name).contains { $0.contains("sluiced-tcp") })
        }
    }
}
