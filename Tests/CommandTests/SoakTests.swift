// A soak in short (Tests/Soak/soak.py; docs/SOAK.md has the long form's figures): what mixed
// clients are answered, not yet what stays flat over hours.

import TestSupport
import Testing

@Suite(.serialized) struct SoakTests {
    @Test func mixedClientsAreAnsweredAsTheyShouldBe() throws {
        let scratch = try Scratch()
        let ending = try Program(path: "/usr/bin/env").run(
            [
                "python3", "\(Repository.folder)/Tests/Soak/soak.py", Program.folder,
                Repository.model, scratch.path("soak"), "--cap", "none", "--seconds", "8",
                "--interval", "3", "--load", "2"
            ], in: scratch)
        let broken = fileBytes(scratch.path("soak/broken.jsonl")) ?? []
        #expect(
            ending.status == 0,
            "\(ending.output) \(ending.errors) \(String(decoding: broken, as: UTF8.self))")
    }
}
