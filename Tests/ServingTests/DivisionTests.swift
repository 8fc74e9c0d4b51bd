// One division: what is shown is what is loaded, decided once, after the drive was measured; what a
// ledger holds is what was divided, for as long as the model lives.

import FlashStorage
import Knobs
import Memory
import Models
import Synchronization
import TestSupport
import Testing
import Weights

@Suite struct DivisionTests {
    private static let models = ["llama", "mixtral", "arcee-q8_0", "qwen3moe"]

    @Test(arguments: models) func whatIsShownIsWhatIsLoaded(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let least = try Fixtures.leastBytes(path)
            for more in [0, 100_000, 1 << 20, 1 << 26] {
                var options = ModelOptions()
                options.memoryBytesMax = least + more
                options.threads = 1
                let shown = try ModelInstance.division(path: path, options: options)
                let model = try ModelInstance(path: path, options: options)
                #expect(model.division.budget == shown.budget)
                #expect(model.contextTokens == shown.contextTokens)
                #expect(model.sparse.reason == shown.sparse.reason)
                #expect(model.plan.arenaBytes == shown.plan.arenaBytes)
            }
        }
    }

    @Test func aModelHoldsWhatWasDividedWhileItLives() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            var options = ModelOptions()
            options.memoryBytesMax = 32 << 20
            options.threads = 1
            let ledger = options.openLedger()
            do {
                let model = try ModelInstance(path: path, options: options)
                for term in model.budget.terms {
                    #expect(ledger.bytes(of: term.term) == term.bytes, "\(term.name)")
                }
                #expect(ledger.held.sumBytes == model.budget.sumBytes)
                // There is nothing left for one as large.
                let left = ledger.share.leftBytes
                #expect(left == model.budget.leftBytes)
            }
            #expect(ledger.held.sumBytes == MemoryLedger.processBytes)
        }
    }

    /// Notes when it is asked to measure, and in how much memory.
    private final class AskedDrive: FlashTuner {
        let asked = Mutex<[Int]>([])

        func tuned(_ options: FlashOptions, path: String, memoryBytes: Int) -> FlashOptions {
            asked.withLock { $0.append(memoryBytes) }
            return options
        }

        func speeds(forFile path: String) -> MachineSpeeds {
            let isMeasured = asked.withLock { !$0.isEmpty }
            return MachineSpeeds(memoryBytesPerSecond: isMeasured ? 1e10 : nil)
        }
    }

    /// The drive is asked before anything is decided, whatever the model, in memory that is left.
    @Test(arguments: models) func theDriveIsMeasuredFirst(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let drive = AskedDrive()
            var options = ModelOptions()
            options.memoryBytesMax = 24 << 20
            options.flash.tuner = drive
            let division = try ModelInstance.division(path: path, options: options)
            #expect(division.speeds.memoryBytesPerSecond == 1e10)
            let asked = drive.asked.withLock { $0 }
            #expect(asked.count == 1 && asked[0] > 0)
            #expect(asked[0] <= division.budget.limitBytes - MemoryLedger.processBytes)
        }
    }
}
