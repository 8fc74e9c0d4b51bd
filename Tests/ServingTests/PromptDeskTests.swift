// The desk where prompts become tokens: each job has its outcome, whoever posts it goes on
// meanwhile, and what nobody wants any more ends early.

import GenerationAPI
import LinuxSystem
import ModelFormat
import Models
import Serving
import Synchronization
import Testing

@Suite struct PromptDeskTests {
    @Test func everyJobHasItsOutcome() throws {
        let told = Atomic<Int>(0)
        let desk = try PromptDesk(jobsMax: 16) { told.add(1, ordering: .relaxed) }
        let refusal = GenerationError(.contextExceeded, "too long")
        for id in 0..<16 {
            desk.post(
                PromptJob(id: id) { _ in
                    guard id % 3 > 0 else { return .failure(refusal) }
                    return .success(PreparedPrompt(tokens: [TokenID(id)]))
                })
        }
        desk.finish()
        let finished = desk.takeFinished()
        #expect(finished.map(\.job.id) == Array(0..<16))
        for (job, outcome) in finished {
            let tokens = PreparedPrompt(tokens: [TokenID(job.id)])
            #expect(outcome == (job.id % 3 == 0 ? .failure(refusal) : .success(tokens)))
        }
        #expect(told.load(ordering: .relaxed) == 16 && desk.takeFinished().isEmpty)
    }

    /// The one who posts is not the one who works, and does not wait for it.
    @Test func whoPostsGoesOn() throws {
        let desk = try PromptDesk(jobsMax: 1) {}
        let mayEnd = Atomic<Bool>(false)
        desk.post(
            PromptJob(id: 1) { _ in
                while !mayEnd.load(ordering: .acquiring) { Thread.sleep(microseconds: 100) }
                return .success(PreparedPrompt(tokens: []))
            })
        #expect(desk.takeFinished().isEmpty)
        mayEnd.store(true, ordering: .releasing)
        desk.finish()
        #expect(desk.takeFinished().count == 1)
    }

    @Test func aCancelledJobEndsEarly() throws {
        let desk = try PromptDesk(jobsMax: 1) {}
        // Without an end of its own.
        let job = PromptJob(id: 1) { isCancelled in
            while !isCancelled() { Thread.sleep(microseconds: 100) }
            return .failure(GenerationError(.cancelled, "cancelled"))
        }
        desk.post(job)
        job.cancel()
        desk.finish()
        let finished = desk.takeFinished()
        #expect(finished.count == 1 && finished.first?.job.isCancelled == true)
    }
}
