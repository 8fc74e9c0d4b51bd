// The web page in a headless Chromium (Tests/Web/page_test.py), where there is one.

import LinuxSystem
import TestSupport
import Testing

@Suite struct PageTests {
    private static let isPossible =
        FileSystem.exists("/usr/bin/python3")
        && ["chromium", "chromium-browser", "google-chrome"].contains {
            FileSystem.exists("/usr/bin/\($0)")
        }
    private static let token = "0123456789abcdef0123456789abcdef"

    @Test(
        .enabled(if: isPossible, "needs chromium and python3"), arguments: [false, true])
    func thePageChats(byToken: Bool) throws {
        let scratch = try Scratch()
        let file = try scratch.write(Array("\(Self.token)\n".utf8), to: "tokens")
        let profile = "[access]\ntokens_required = true\ntokens_file = \"\(file)\"\n"
        let daemon = try ServedModel(memory: "64M", profile: byToken ? profile : nil)
        let shown = byToken ? ["--token", Self.token] : []
        let run = try Program(path: "/usr/bin/python3").run(
            ["\(Repository.folder)/Tests/Web/page_test.py", daemon.socket] + shown, in: scratch)
        let failed = run.output.split(separator: "\n").filter { $0.hasPrefix("FAIL") }
        #expect(run.status == 0, "\(failed.joined(separator: "\n"))\n\(run.errors)")
        #expect(run.output.hasSuffix("\n0 failed\n"), "\(run.output)\(run.errors)")
        #expect(daemon.stop() == 0, "\(daemon.errors)")
    }
}
