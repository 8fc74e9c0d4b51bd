// The built daemon under fire, in short (Tests/Fire/fire.py; docs/FIRE.md has the long form's
// figures).

import TestSupport
import Testing

@Suite(.serialized) struct FireTests {
    @Test func nothingThatClientsDoLeavesATrace() throws {
        let daemon = try Daemon(options: ["--memory", "48M"])
        let ending = try Program(path: "/usr/bin/env").run(
            [
                "python3", "\(Repository.folder)/Tests/Fire/fire.py", daemon.socket,
                "\(daemon.process.process)", "shell", "--short"
            ], in: daemon.scratch)
        #expect(ending.status == 0, "\(ending.output) \(ending.errors)")
        #expect(daemon.stop() == 0)
    }
}
