// The watchdog is fed while the engine is idle or gets anywhere, and not otherwise.

import GenerationAPI
import Service
import Testing

@Suite struct ProgressWatchTests {
    private static let second: UInt64 = 1_000_000

    private static func busy(_ count: UInt64) -> EngineProgress {
        EngineProgress(count: count, isBusy: true)
    }

    @Test func idleIsAlive() {
        var watch = ProgressWatch(microsecondsMax: 15 * Self.second)
        for seconds in stride(from: 0 as UInt64, to: 1000, by: 10) {
            let idle = EngineProgress(count: 7, isBusy: false)
            let isAlive = watch.isAlive(idle, atMicroseconds: seconds * Self.second)
            #expect(isAlive)
        }
        // What begins after a long rest has its time from the last look at that rest on.
        let looks = [1000, 1010, 1020].map {
            watch.isAlive(Self.busy(7), atMicroseconds: $0 * Self.second)
        }
        #expect(looks == [true, false, false])
    }

    @Test func progressIsAliveHoweverSlow() {
        var watch = ProgressWatch(microsecondsMax: 15 * Self.second)
        for step in 0..<100 as Range<UInt64> {
            let isAlive = watch.isAlive(Self.busy(step), atMicroseconds: step * 10 * Self.second)
            #expect(isAlive)
        }
    }

    @Test func busyWithNothingToShowIsStuckUntilSomethingIs() {
        var watch = ProgressWatch(microsecondsMax: 15 * Self.second)
        let counts: [UInt64] = [3, 3, 3, 3, 4, 4]
        let looks = counts.enumerated().map { index, count in
            watch.isAlive(Self.busy(count), atMicroseconds: UInt64(index) * 10 * Self.second)
        }
        #expect(looks == [true, true, false, false, true, true])
    }

    /// A read that will end by its own limit is never cut short by the watchdog.
    @Test func theLimitCoversARead() {
        let brief = ProgressWatch(watchdogMicroseconds: 60 * Self.second, readSecondsMax: 4)
        #expect(brief.microsecondsMax == 15 * Self.second)
        let patient = ProgressWatch(watchdogMicroseconds: 60 * Self.second, readSecondsMax: 100)
        #expect(patient.microsecondsMax == 101 * Self.second)
    }
}
