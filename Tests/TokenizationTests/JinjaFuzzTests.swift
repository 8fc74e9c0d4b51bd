// Our Jinja with templates that nobody meant.

import ChatTemplates
import TestSupport
import Testing

@Suite struct JinjaFuzzTests {
    /// They end, and keep marks.
    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() throws {
        let fixture = try fixture("jinja.json", as: JinjaFixture.self)
        var fuzzer = JinjaFuzzer(templates: fixture.cases.map(\.template))
        FuzzRun("templates").each { random, place in
            fuzzer.random = SplitMix(seed: random.next())
            if let finding = fuzzer.step() { Issue.record("\(place): \(finding)") }
        }
        #expect(fuzzer.rendered > 10)
        #expect(fuzzer.refused > 10)
    }
}
