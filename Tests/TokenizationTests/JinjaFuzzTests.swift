// Our Jinja with templates that nobody meant.

import ChatTemplates
import TestSupport
import Testing

@Suite struct JinjaFuzzTests {
    @Test func mutatedTemplatesEndAndKeepMarks() throws {
        let fixture = try fixture("jinja.json", as: JinjaFixture.self)
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var fuzzer = JinjaFuzzer(
            seed: seed, templates: fixture.cases.map(\.template))
        for _ in 0..<3000 {
            if let finding = fuzzer.step() { Issue.record("seed \(seed): \(finding)") }
        }
        #expect(fuzzer.rendered > 100)
        #expect(fuzzer.refused > 100)
    }
}
