// How far long work is, on standard error: a bar where that is a terminal, and a line every few
// seconds where it is a file or a pipe, so that nobody waits without a word. A clock drives both:
// work that has nothing to report is said to go on.

internal import Dispatch
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Work under way. Told from any thread; ``clear()`` ends it.
final class Progress: Sendable {
    private static let lineSeconds = 5
    private static let barMilliseconds = 200
    private static let cells = 30

    private let title: String
    private let hasBar: Bool
    private let startNanoseconds = MonotonicClock.nanoseconds
    /// In millionths; below 0 before anything was reported.
    private let done = Atomic<Int>(-1)
    private let isDrawn = Atomic<Bool>(false)
    private let end = DispatchSemaphore(value: 0)
    private let thread = Mutex<Thread?>(nil)

    /// - Parameter title: what is being done, such as "calibrating".
    init(_ title: String) {
        self.title = title
        hasBar = Terminal.isTerminal(STDERR_FILENO) && Terminal.movesCursor
        // Work goes on without being watched where there can be no thread.
        let clock = try? Thread(stackBytes: 256 << 10) { [weak self] in
            while let self, self.waits() { self.draw() }
        }
        thread.withLock { $0 = clock }
    }

    /// Runs `body`, told how far it is by what it is given.
    static func during<Result>(
        _ title: String, _ body: (Progress) throws -> Result
    ) rethrows -> Result {
        let progress = Progress(title)
        defer { progress.clear() }
        return try body(progress)
    }

    /// - Parameter share: 0...1.
    func show(_ share: Double) {
        done.store(Int(min(max(share, 0), 1) * 1e6), ordering: .relaxed)
    }

    /// Ends it, and leaves no bar behind.
    func clear() {
        guard let clock = thread.withLock({ $0.take() }) else { return }
        end.signal()
        clock.join()
        if isDrawn.load(ordering: .relaxed) { Terminal.write("\r\u{1B}[K", to: STDERR_FILENO) }
    }

    /// False when the work has ended.
    private func waits() -> Bool {
        let pause: DispatchTimeInterval =
            hasBar ? .milliseconds(Self.barMilliseconds) : .seconds(Self.lineSeconds)
        return end.wait(timeout: .now() + pause) == .timedOut
    }

    private func draw() {
        let seconds = Double(MonotonicClock.nanoseconds - startNanoseconds) / 1e9
        let millionths = done.load(ordering: .relaxed)
        let share = millionths < 0 ? nil : Double(millionths) / 1e6
        let text = Self.text(share: share, seconds: seconds)
        guard hasBar else {
            return Terminal.write("sluice: \(title): \(text)\n", to: STDERR_FILENO)
        }
        isDrawn.store(true, ordering: .relaxed)
        var bar = ""
        if let share {
            let filled = Int(Double(Self.cells) * share)
            bar =
                "[" + String(repeating: "#", count: filled)
                + String(repeating: ".", count: Self.cells - filled) + "] "
        }
        Terminal.write("\r\(title) \(bar)\(text)\u{1B}[K", to: STDERR_FILENO)
    }

    /// Such as `40 % after 12 s, about 18 s left`.
    static func text(share: Double?, seconds: Double) -> String {
        let time = "\(Int(seconds)) s"
        guard let share else { return "\(time) so far" }
        let percent = "\(Int(share * 100)) % after \(time)"
        // Too early to tell.
        guard share >= 0.02, seconds >= 2 else { return percent }
        return "\(percent), about \(Int((seconds * (1 - share) / share).rounded(.up))) s left"
    }
}
