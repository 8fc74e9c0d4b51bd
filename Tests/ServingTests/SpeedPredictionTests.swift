// What prompts and answers are expected to take: from what is known of the machine alone, and more
// for more.

import FlashStorage
import Models
import TestSupport
import Testing

@Suite struct SpeedPredictionTests {
    private static let drive = DriveProfile(
        readerKind: "pread", isDirect: false,
        speeds: [
            DriveSpeed(pattern: .forward, readBytes: 65536, depth: 8, bytesPerSecond: 1e9),
            DriveSpeed(pattern: .scattered, readBytes: 65536, depth: 8, bytesPerSecond: 1e9)
        ],
        bytesPerSecondSustained: 1e9, isPaced: false, memoryBytes: 16 << 20)
    private static let known = MachineSpeeds(
        drive: drive, memoryBytesPerSecond: 1e10, multiplyAddsPerSecond: 1e9)

    private func withPrediction(
        _ name: String, _ more: Int, _ body: (SpeedPrediction) throws -> Void
    ) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            var options = ModelOptions()
            options.memoryBytesMax = try Fixtures.leastBytes(path) + more
            options.threads = 1
            let model = try ModelInstance(path: path, options: options)
            try body(SpeedPrediction(model.division, model.manifest))
        }
    }

    @Test(arguments: ["llama", "qwen3moe"], [0, 1 << 26])
    func longerPromptsTakeLonger(_ name: String, more: Int) throws {
        try withPrediction(name, more) { prediction in
            let seconds = try [1, 2, 16, 100, 1000].map {
                try #require(prediction.promptSeconds(tokens: $0, Self.known))
            }
            #expect(seconds == seconds.sorted() && seconds[0] > 0 && seconds[4] > seconds[2])
            let rest = try #require(
                prediction.promptSeconds(tokens: 500, after: 500, Self.known))
            let half = try #require(prediction.promptSeconds(tokens: 500, Self.known))
            // What comes later sees more positions.
            #expect(rest >= half && rest < seconds[4])
            var faster = Self.known
            faster.multiplyAddsPerSecond = 2e9
            let sooner = try #require(prediction.promptSeconds(tokens: 1000, faster))
            #expect(sooner <= seconds[4])
        }
    }

    @Test func whatIsNotKnownIsNotPredicted() throws {
        try withPrediction("llama", 0) { prediction in
            #expect(prediction.readsWeights)
            var less = Self.known
            less.multiplyAddsPerSecond = nil
            #expect(prediction.promptSeconds(tokens: 9, less) == nil)
            #expect(prediction.tokenSeconds(less, isResident: false) != nil)
            less.drive = nil
            #expect(prediction.tokenSeconds(less, isResident: false) == nil)
            var driveless = Self.known
            driveless.drive = nil
            #expect(prediction.promptSeconds(tokens: 9, driveless) == nil)
        }
        try withPrediction("llama", 1 << 26) { prediction in
            #expect(!prediction.readsWeights)
            var memoryless = Self.known
            memoryless.memoryBytesPerSecond = nil
            #expect(prediction.tokenSeconds(memoryless, isResident: false) == nil)
            #expect(prediction.tokenSeconds(Self.known, isResident: false) != nil)
        }
    }
}
