// Steps count what they hold.

import Inference
import ModelFormat
import SequenceState
import Testing

@Suite struct StepPlanTests {
    @Test func samplingAndStepsCountWhatTheyHold() {
        let id = SequenceID(rawValue: 0)
        func chunk(_ count: Int, _ logits: SequenceChunk.Logits) -> SequenceChunk {
            SequenceChunk(
                sequence: id, tokens: Array(repeating: TokenID(1), count: count), firstPosition: 0,
                logits: logits)
        }
        let plan = StepPlan(chunks: [chunk(5, .none), chunk(1, .last), chunk(7, .all)])
        #expect(plan.tokenCount == 13)
        #expect(plan.logitsRowCount == 8)
    }
}
