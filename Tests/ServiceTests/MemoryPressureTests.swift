// Memory pressure: what the kernel writes, the ladder's steps in time, and a daemon that gives
// back.

import GenerationAPI
import LinuxSystem
import Service
import Testing

@Suite struct MemoryPressureTests {
    @Test func readsTheKernelsFile() {
        let text = """
            some avg10=1.53 avg60=0.87 avg300=1.73 total=109820
            full avg10=0.00 avg60=0.00 avg300=0.00 total=5
            """
        #expect(PressureFile.stalled(in: text) == 109_820)
        for broken in ["", "full total=5", "some total=", "some total=-1", "some avg10=0"] {
            #expect(PressureFile.stalled(in: broken) == nil, "\(broken)")
        }
    }

    @Test func findsItsOwnGroup() {
        let own = "/sys/fs/cgroup/system.slice/sluiced.service/memory.pressure"
        #expect(PressureFile.path(cgroups: "0::/system.slice/sluiced.service\n") == own)
        #expect(
            PressureFile.path(cgroups: "5:memory:/x\n0::/system.slice/sluiced.service\n") == own)
        // The root's pressure is everybody's.
        #expect(PressureFile.path(cgroups: "0::/\n") == nil)
        #expect(PressureFile.path(cgroups: "5:memory:/x\n") == nil)
    }

    /// Seconds, stalled seconds since the look before, and the step that follows if one is taken.
    @Test func climbsAndComesDown() {
        var ladder = PressureLadder()
        var stalled: UInt64 = 7_000_000
        let looks: [(Double, Double, PressureStep?)] = [
            (10, 0, nil), (20, 0, nil),
            // A tenth of the time at least.
            (30, 0.9, nil), (31, 0.1, .givingBack),
            // It has five seconds to help; looks within a second say nothing.
            (31.5, 0.5, nil), (33, 1, nil), (36, 1, .refusing),
            // And is done again while it goes on.
            (38, 1, nil), (42, 1, .refusing),
            (50, 0, nil), (61, 0, nil), (62, 0, .givingBack),
            // It begins again before all is over.
            (64, 1, nil), (68, 1, .refusing),
            (87, 0, nil), (88, 0, .givingBack), (100, 0, nil), (108, 0, .calm), (200, 0, nil)
        ]
        for (seconds, more, expected) in looks {
            stalled += UInt64(more * 1e6)
            let isStep = ladder.look(stalledMicroseconds: stalled, at: UInt64(seconds * 1e6))
            #expect((isStep ? ladder.step : nil) == expected, "at \(seconds)")
        }
        #expect(ladder.step == .calm && !ladder.isUp)
    }

    @Test func aDaemonTellsThatItGivesBack() throws {
        let daemon = try RunningDaemon()
        #expect(daemon.manager.receive().hasPrefix("READY=1"))
        // Looks within a second of each other do not count.
        for count in 1..<200 where !daemon.lines.contains(where: { $0.contains("pressure") }) {
            _ = daemon.directory.write(
                "some avg10=99.00 total=\(count)000000000\n", to: "pressure")
            daemon.signals.nudge()
            Thread.sleep(microseconds: 50_000)
        }
        let told = daemon.manager.receive()
        #expect(told.hasPrefix("STATUS=Short of memory, giving back; Ready"), "\(told)")
        #expect(daemon.lines.contains { $0.contains("memory pressure: giving memory back") })
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }

    /// The kernel's count begins anew when a group is made anew.
    @Test func aCountThatFallsIsNoPressure() {
        var ladder = PressureLadder()
        _ = ladder.look(stalledMicroseconds: .max, at: 1_000_000)
        let isStep = ladder.look(stalledMicroseconds: 0, at: 5_000_000)
        #expect(!isStep)
        #expect(ladder.step == .calm)
    }
}
