// A daemon that is killed while it writes what it remembers: what is in the file afterwards is
// whole blocks or nothing, and no answer is another for it.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct PrefixKillTests {
    private static let profile = "[kv]\nprefixes = \"flash\"\n"

    /// Six blocks, whose last tokens tell the attempts apart: each attempt has something to save.
    private func prompt(_ attempt: Int) -> String {
        String(repeating: "ls -l | grep curl; ", count: 60) + "attempt \(attempt)"
    }

    private func body(_ attempt: Int) -> String {
        "{\"model\":\"shell\",\"temperature\":0,\"max_tokens\":6,\"prompt\":\""
            + prompt(attempt) + "\",\"sluice\":{\"statistics\":true}}"
    }

    private func words(_ attempt: Int) -> [String] {
        ["--data", body(attempt), "/v1/completions"]
    }

    private func text(_ answer: String) -> Substring? {
        guard let first = answer.range("\"text\""), let rest = answer[first...].range("\"usage\"")
        else { return nil }
        return answer[first..<rest]
    }

    @Test func aKilledSaveIsLostAlone() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        // What the right answers are.
        let first = try Daemon(profile: Self.profile.replacing("flash", with: "off"))
        let expected = try (0..<8).map { try text(first.request(words($0))) }
        #expect(expected.allSatisfy { $0 != nil }, "seed \(seed)")
        #expect(first.stop() == 0)
        var restored = 0
        for attempt in 0..<8 {
            let daemon = try Daemon(in: first.scratch, profile: Self.profile)
            let answer = try daemon.request(words(attempt))
            #expect(
                text(answer) == expected[attempt], "seed \(seed), attempt \(attempt): \(answer)")
            if answer.contains("\"cached_from\":\"flash\"") { restored += 1 }
            // Saving begins when the answer has ended, and takes some milliseconds.
            Thread.sleep(microseconds: .random(in: 0...20_000, using: &random))
            daemon.kill()
            #expect(!daemon.log.contains("is damaged"), "seed \(seed): \(daemon.log)")
        }
        #expect(restored > 0, "seed \(seed): nothing came back in eight attempts")
    }
}

extension StringProtocol {
    /// Where `text` first begins.
    fileprivate func range(_ text: String) -> Index? {
        indices.first { self[$0...].hasPrefix(text) }
    }
}
