// Whether the kernel finds that our control group is short of memory (PSI,
// https://systemd.io/PRESSURE), and what is to be done about it, step by step. Values, their times
// given; looking is one small file.

internal import LinuxSystem

/// What the service gives up, in order.
package enum PressureStep: Int, Sendable, Comparable {
    case calm
    /// Freed memory goes back to the system, and models that nobody uses go.
    case givingBack
    /// New requests are told to come back later, too.
    case refusing

    package static func < (one: PressureStep, other: PressureStep) -> Bool {
        one.rawValue < other.rawValue
    }
}

/// Turns what the kernel counted into steps.
package struct PressureLadder: Sendable {
    /// Of the time since the last look, some task of ours waited for memory: so much is pressure.
    private static let shareMin = 0.1
    /// Between two looks that count: one shorter says little.
    private static let lookMicroseconds: UInt64 = 1_000_000
    /// Each step has so long to show what it does before the next.
    private static let stepMicroseconds: UInt64 = 5_000_000
    /// So long without pressure, and a step is taken back.
    private static let calmMicroseconds: UInt64 = 20_000_000

    package private(set) var step = PressureStep.calm
    private var last: (stalled: UInt64, at: UInt64)?
    private var steppedAt: UInt64 = 0
    private var pressedAt: UInt64 = 0

    package init() {}

    /// Whether it is worth looking again soon.
    package var isUp: Bool { step > .calm }

    /// Takes in a look: how long tasks have waited for memory in all, now. Returns whether the step
    /// is to be done, anew or again.
    package mutating func look(stalledMicroseconds stalled: UInt64, at now: UInt64) -> Bool {
        guard let last else {
            self.last = (stalled, now)
            return false
        }
        let passed = now - last.at
        guard passed >= Self.lookMicroseconds else { return false }
        self.last = (stalled, now)
        let share = Double(stalled - min(stalled, last.stalled)) / Double(passed)
        if share >= Self.shareMin {
            pressedAt = now
            guard step == .calm || now - steppedAt >= Self.stepMicroseconds else { return false }
            step = PressureStep(rawValue: step.rawValue + 1) ?? step
            steppedAt = now
            return true
        }
        guard isUp, now - max(pressedAt, steppedAt) >= Self.calmMicroseconds else { return false }
        step = PressureStep(rawValue: step.rawValue - 1) ?? .calm
        steppedAt = now
        return true
    }
}

/// The file in which the kernel counts it.
package struct PressureFile: Sendable {
    private let path: String

    package init(path: String) { self.path = path }

    /// Of the process's own control group, where that has one (version 2): what systemd says, if it
    /// does, else the kernel.
    package static func own() -> PressureFile? {
        let named = SystemCalls.environment("MEMORY_PRESSURE_WATCH")
        guard named != "/dev/null" else { return nil }
        if let named, named.hasSuffix("/memory.pressure") {
            return PressureFile(path: named).ifReadable
        }
        guard let groups = TextFile.read("/proc/self/cgroup") else { return nil }
        return path(cgroups: groups).flatMap { PressureFile(path: $0).ifReadable }
    }

    /// The file for a process with this /proc/self/cgroup (cgroups(7)); nil in the root's group,
    /// whose pressure is the machine's.
    package static func path(cgroups: String) -> String? {
        let line = cgroups.split(separator: "\n").first { $0.hasPrefix("0::/") }
        guard let line, line != "0::/" else { return nil }
        return "/sys/fs/cgroup\(line.dropFirst(3))/memory.pressure"
    }

    private var ifReadable: PressureFile? { stalledMicroseconds() == nil ? nil : self }

    /// How long some task has waited for memory, in all; nil when the file does not say.
    package func stalledMicroseconds() -> UInt64? {
        TextFile.read(path).flatMap(Self.stalled(in:))
    }

    /// Reads `some avg10=0.00 avg60=0.00 avg300=0.00 total=12`.
    package static func stalled(in text: String) -> UInt64? {
        let line = text.split(separator: "\n").first { $0.hasPrefix("some ") }
        let total = line?.split(separator: " ").first { $0.hasPrefix("total=") }
        return total.flatMap { UInt64($0.dropFirst("total=".count)) }
    }
}
