// The Grafana dashboard asks for names that the built daemon's /metrics has
// (Tests/Grafana/dashboard_test.py; with --scrape it lets Prometheus itself ask).

import LinuxSystem
import TestSupport
import Testing

@Suite struct DashboardTests {
    private static let hasPython = FileSystem.exists("/usr/bin/python3")

    @Test(.enabled(if: hasPython, "needs python3")) func itsNamesAreCounted() throws {
        let scratch = try Scratch()
        let run = try Program(path: "/usr/bin/python3").run(
            [
                "\(Repository.folder)/Tests/Grafana/dashboard_test.py", Program.folder,
                Repository.model
            ], in: scratch)
        let failed = run.output.split(separator: "\n").filter { $0.hasPrefix("FAIL") }
        #expect(run.status == 0, "\(failed.joined(separator: "\n"))\n\(run.errors)")
        #expect(run.output.contains("ok   Budget: sluiced_memory_bytes"), "\(run.output)")
    }
}
