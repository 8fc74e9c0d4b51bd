// Where prompts become tokens: a thread of its own, so that whoever is being answered does not wait
// for a long text, one prompt after the other, so that the memory for it is that of one.

package import GenerationAPI
package import LinuxSystem
package import Models
internal import Synchronization

/// A prompt that is to become tokens.
package final class PromptJob: Sendable {
    /// The order's.
    package let id: Int
    fileprivate let work: @Sendable (_ isCancelled: @escaping () -> Bool) -> PromptDesk.Outcome
    private let isGivenUp = Atomic<Bool>(false)

    /// - Parameter work: makes the tokens; ends early, whatever it returns, once it finds that
    ///   nobody wants them any more. Called on the desk's thread.
    package init(
        id: Int,
        work: @escaping @Sendable (_ isCancelled: @escaping () -> Bool) -> PromptDesk.Outcome
    ) {
        self.id = id
        self.work = work
    }

    /// Nobody wants the tokens any more.
    package func cancel() { isGivenUp.store(true, ordering: .releasing) }

    package var isCancelled: Bool { isGivenUp.load(ordering: .acquiring) }
}

/// Makes tokens of prompts, in the order in which they are posted.
package final class PromptDesk: Sendable {
    package typealias Outcome = Result<PreparedPrompt, GenerationError>

    private let jobs: Mailbox<PromptJob>
    private let finished: Finished
    private let thread: Thread

    /// - Parameters:
    ///   - jobsMax: jobs that are posted and not taken yet, at most.
    ///   - onFinished: told after each job, on the desk's thread.
    /// - Throws: `SystemError` when no thread can be started.
    package init(
        jobsMax: Int, onFinished: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        // One more, with which the thread is told to end.
        let jobs = Mailbox<PromptJob>(capacity: jobsMax + 1)
        let finished = Finished()
        // Chat templates nest, and are evaluated by functions that do.
        thread = try Thread(name: "sluice-prompts", stackBytes: 1 << 20) {
            Self.run(jobs, finished, onFinished)
        }
        self.jobs = jobs
        self.finished = finished
    }

    /// - Precondition: no more than `jobsMax` jobs are under way.
    package func post(_ job: PromptJob) {
        let isTaken = jobs.post(job)
        precondition(isTaken, "more prompts than there are places for sessions")
    }

    /// What became of jobs since the last call, cancelled ones included.
    package func takeFinished() -> [(job: PromptJob, outcome: Outcome)] { finished.take() }

    /// Ends the thread, after the jobs that were posted, and returns when it has ended. Once only,
    /// and no job after it.
    package func finish() {
        let end = PromptJob(id: Self.endID) { _ in .success(PreparedPrompt(tokens: [])) }
        _ = jobs.post(end)
        thread.join()
    }

    /// No order has it.
    private static let endID = -1

    private static func run(
        _ jobs: Mailbox<PromptJob>, _ finished: Finished, _ onFinished: () -> Void
    ) {
        while true {
            for job in jobs.take(waiting: true) {
                if job.id == endID { return }
                finished.add(job, job.work { job.isCancelled })
                onFinished()
            }
        }
    }

    private final class Finished: Sendable {
        private let results = Mutex<[(job: PromptJob, outcome: Outcome)]>([])

        func add(_ job: PromptJob, _ outcome: Outcome) {
            results.withLock { $0.append((job, outcome)) }
        }

        func take() -> [(job: PromptJob, outcome: Outcome)] {
            results.withLock { results in
                defer { results.removeAll() }
                return results
            }
        }
    }
}
