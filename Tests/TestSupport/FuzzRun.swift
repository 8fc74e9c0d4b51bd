// How long fuzzers run, and what they say of it. Each input is made from random numbers of its own,
// so that one that was found can be made again by itself.
//
//   SLUICE_FUZZ_SECONDS   how long each runs: 10 where nothing is said, 3600 in `make test-fuzz`
//   SLUICE_FUZZ_SEED      the seed, which is else drawn, and printed
//   SLUICE_FUZZ_INPUT     makes this one input alone
//   SLUICE_FUZZ_FOLDER    a file for each fuzzer there says what is under way, if it is the last

import Glibc
import LinuxSystem

/// One run of a fuzzer.
package struct FuzzRun {
    private static let seconds = number("SLUICE_FUZZ_SECONDS") ?? 10
    /// However slow the machine is.
    private static let inputsMin: UInt64 = 200
    /// For the time limit of a test, which ends what hangs.
    package static let minutesMax = Int(seconds / 60) + 5

    private let name: String
    private let seed: UInt64
    private let only: UInt64?
    private let mark: CInt

    /// - Parameter name: what is fuzzed, in a word.
    package init(_ name: String) {
        self.name = name
        seed = Self.number("SLUICE_FUZZ_SEED") ?? UInt64(UInt32.random(in: 0 ... .max))
        only = Self.number("SLUICE_FUZZ_INPUT")
        mark =
            unsafe getenv("SLUICE_FUZZ_FOLDER").map {
                unsafe open(String(cString: $0) + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
            } ?? -1
    }

    private static func number(_ variable: String) -> UInt64? {
        unsafe getenv(variable).flatMap { unsafe UInt64(String(cString: $0)) }
    }

    /// Calls `body` for one input after the other until the time is over.
    ///
    /// - Parameter body: gets the input's random numbers, and what a finding has to say so that it
    ///   can be made again.
    package func each(_ body: (inout SplitMix, String) throws -> Void) rethrows {
        let begin = MonotonicClock.nanoseconds
        let nanoseconds = Self.seconds * 1_000_000_000
        var (input, slowest, slowestInput) = (only ?? 0, UInt64(0), UInt64(0))
        var (now, told) = (begin, begin)
        say("fuzzing \(name) for \(Self.seconds) s, seed \(seed)")
        defer { if mark >= 0 { close(mark) } }
        repeat {
            let place = "\(name): SLUICE_FUZZ_SEED=\(seed) SLUICE_FUZZ_INPUT=\(input)"
            note(place)
            var random = SplitMix(seed: seed ^ (input &* 0xD1B5_4A32_D192_ED03))
            try body(&random, place)
            let end = MonotonicClock.nanoseconds
            if end - now > slowest { (slowest, slowestInput) = (end - now, input) }
            now = end
            input += 1
            if now - told > 60_000_000_000 {
                told = now
                say("fuzzing \(name): \(input) inputs")
            }
        } while only == nil && (now - begin < nanoseconds || input < Self.inputsMin)
        say(
            "fuzzed \(name): \(input - (only ?? 0)) inputs in \((now - begin) / 1_000_000_000) s, "
                + "seed \(seed); the slowest, \(slowestInput), took \(slowest / 1_000_000) ms")
    }

    /// Where the process ends with an input, this is what it was.
    private func note(_ place: String) {
        guard mark >= 0 else { return }
        let line = Array((place + "\n").utf8)
        _ = unsafe pwrite(mark, line, line.count, 0)
    }

    /// At once, also where standard output waits for a page of it.
    private func say(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = unsafe write(STDERR_FILENO, line, line.count)
    }
}
