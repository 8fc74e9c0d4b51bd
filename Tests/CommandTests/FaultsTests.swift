// What the built programs stand on breaks, in short (Tests/Faults/faults.py; docs/FAULTS.md has the
// long form's figures).

import TestSupport
import Testing

@Suite(.serialized) struct FaultsTests {
    @Test(arguments: ["reads", "files", "full", "kills", "second", "drain"])
    func whatBreaksIsSaidAndNothingElseBreaks(name: String) throws {
        let scratch = try Scratch()
        let ending = try Program(path: "/usr/bin/env").run(
            [
                "python3", "\(Repository.folder)/Tests/Faults/faults.py", Program.folder,
                Repository.model, "\(Repository.fixtures)/models/qwen3moe.gguf",
                scratch.path("faults"), "--short", "--case", name
            ], in: scratch)
        #expect(ending.status == 0, "\(ending.output) \(ending.errors)")
        for line in ending.output.split(separator: "\n") where line.hasPrefix("skipped: ") {
            print("\(line)")
        }
    }
}
