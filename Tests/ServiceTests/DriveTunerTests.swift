// Knowing drives: measured once, kept, found again; damage, other drives, and places that cannot be
// written to.

import FlashStorage
import Glibc
import Knobs
import Library
import LinuxSystem
import Memory
import Synchronization
import TestSupport
import Testing

@Suite struct DriveTunerTests {
    /// A model's file, a place to keep measurements, and what was said.
    private final class Bench: Sendable {
        let model: String
        let kept: MeasurementsFile
        let notices = Mutex<[String]>([])

        init(_ directory: String) throws {
            model = "\(directory)/model"
            kept = MeasurementsFile(path: "\(directory)/state/measurements")
            let file = try FileDescriptor(path: model, mode: .create)
            let bytes = (0..<2 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            try unsafe file.write(bytes.span.bytes, at: 0)
            try file.synchronize()
        }

        func tuner(
            _ kept: MeasurementsFile? = nil, fixed: Profile.Flash = Profile().flash,
            measures: Bool = true
        ) -> DriveTuner {
            DriveTuner(
                file: kept ?? self.kept, fixed: fixed, measures: measures, in: .unlimited()
            ) { notice in
                self.notices.withLock { $0.append(notice) }
            }
        }

        /// What was said since the last call.
        func taken() -> [String] {
            notices.withLock { notices in
                defer { notices = [] }
                return notices
            }
        }

        /// Little memory, so that measuring is short.
        func tuned(_ tuner: DriveTuner, memoryBytes: Int = 256 << 10) -> [Int] {
            let options = tuner.tuned(FlashOptions(), path: model, memoryBytes: memoryBytes)
            return [options.pieceBytesMax, options.queueDepth]
        }
    }

    private func withBench(_ body: (Bench) throws -> Void) throws {
        try withTemporaryDirectory { directory in
            defer {
                _ = unsafe unlink("\(directory)/state/measurements")
                _ = unsafe rmdir("\(directory)/state")
            }
            try body(try Bench(directory))
        }
    }

    private static let untouched = [FlashOptions().pieceBytesMax, FlashOptions().queueDepth]

    /// Products are measured once for a number of threads, kept, and not by who may not.
    @Test func productsAreMeasuredOnceAndFoundAgain() throws {
        try withBench { bench in
            var asked = 0
            func learn(_ tuner: DriveTuner, threads: Int, _ found: Double? = 5e9) -> Double? {
                tuner.learnProducts(threads: threads) {
                    asked += 1
                    return found
                }
                return tuner.speeds(forFile: bench.model).multiplyAddsPerSecond
            }
            #expect(learn(bench.tuner(measures: false), threads: 2) == nil && asked == 0)
            #expect(learn(bench.tuner(), threads: 2, nil) == nil && asked == 1)
            #expect(learn(bench.tuner(), threads: 2) == 5e9 && asked == 2)
            let next = bench.tuner()
            #expect(learn(next, threads: 2) == 5e9 && asked == 2)
            #expect(learn(next, threads: 3, 7e9) == 7e9 && asked == 3)
            // A drive that is measured afterwards leaves it alone.
            _ = bench.tuned(next)
            let kept = try bench.kept.read()
            #expect(kept.products?.threads == 3 && kept.drives.count == 1)
            // Where it cannot be kept it is known all the same.
            let nowhere = bench.tuner(MeasurementsFile(path: "/proc/none/measurements"))
            #expect(learn(nowhere, threads: 1, 9e9) == 9e9)
            #expect(bench.taken().contains { $0.hasPrefix("measurements are not kept") })
        }
    }

    @Test func aDriveIsMeasuredOnceAndFoundAgain() throws {
        try withBench { bench in
            let chosen = bench.tuned(bench.tuner())
            let said = bench.taken()
            #expect(said.count == 1 && said[0].hasPrefix("measured the drive "), "\(said)")
            let known = try bench.kept.read()
            #expect(known.drives.count == 1)
            let choice = try #require(known.drives.first?.profile.choice)
            #expect(chosen == [choice.readBytes, choice.depth])
            // The next start, and commands, which do not measure.
            #expect(bench.tuned(bench.tuner()) == chosen)
            #expect(bench.tuned(bench.tuner(measures: false)) == chosen)
            #expect(bench.taken().isEmpty)
            // With much more memory there is more to learn.
            _ = bench.tuned(bench.tuner(), memoryBytes: 1 << 20)
            #expect(bench.taken().count == 1)
            #expect(try bench.kept.read().drives.map(\.profile.memoryBytes) == [1 << 20])
        }
    }

    @Test func commandsDoNotMeasure() throws {
        try withBench { bench in
            #expect(bench.tuned(bench.tuner(measures: false)) == Self.untouched)
            #expect(bench.taken().isEmpty && !FileSystem.exists(bench.kept.path))
        }
    }

    @Test func aProfileWins() throws {
        try withBench { bench in
            var fixed = Profile().flash
            fixed.queueDepth = 3
            try bench.kept.write(try Self.measurements(of: bench.model))
            #expect(bench.tuned(bench.tuner(fixed: fixed)) == [512 << 10, Self.untouched[1]])
            fixed.readBytesMax = 65536
            #expect(bench.tuned(bench.tuner(fixed: fixed)) == Self.untouched)
            fixed.queueDepth = nil
            #expect(bench.tuned(bench.tuner(fixed: fixed)) == [Self.untouched[0], 4])
        }
    }

    /// How far apart small reads are joined: measured, unless a profile says it.
    @Test func gapsFollowTheDrive() throws {
        try withBench { bench in
            func gap(_ tuner: DriveTuner) -> [Int?] {
                let options = tuner.tuned(
                    FlashOptions(), path: bench.model, memoryBytes: 256 << 10)
                let speeds = tuner.speeds(forFile: bench.model)
                return [options.gapBytesMax, speeds.gapBytesMax, speeds.drive?.gapBytes]
            }
            // Nothing is known, and this does not measure.
            #expect(gap(bench.tuner(measures: false)) == [FlashOptions().gapBytesMax, nil, nil])
            #expect(!FileSystem.exists(bench.kept.path))
            var known = try Self.measurements(of: bench.model)
            let device = try #require(known.drives.first).device
            func speed(_ bytes: Int, _ rate: Double) -> DriveSpeed {
                DriveSpeed(
                    pattern: .scattered, readBytes: bytes, depth: 32, bytesPerSecond: rate)
            }
            known.add(
                Measurements.Drive(
                    device: device, measured: 1_700_000_000,
                    profile: DriveProfile(
                        readerKind: "io_uring", isDirect: true,
                        speeds: [speed(4096, 1e8), speed(1 << 20, 1e9)],
                        bytesPerSecondSustained: 9e8, memoryBytes: 16 << 20)))
            known.memory = Measurements.Memory(bytesPerSecond: 3e10, threads: 2)
            try bench.kept.write(known)
            #expect(gap(bench.tuner()) == [9 * 4096, 9 * 4096, 9 * 4096])
            #expect(bench.tuner().speeds(forFile: bench.model).memoryBytesPerSecond == 3e10)
            var fixed = Profile().flash
            fixed.gapBytesMax = 0
            let untouched = FlashOptions().gapBytesMax
            #expect(gap(bench.tuner(fixed: fixed)) == [untouched, 0, 9 * 4096])
            #expect(bench.taken().isEmpty)
        }
    }

    @Test(arguments: ["", "{", "[]", "{\"version\":2,\"drives\":[]}", "\u{0}\u{1}"])
    func damageIsSaidOnceAndMeasuredAgain(_ text: String) throws {
        try withBench { bench in
            try bench.kept.write(Measurements())
            try FileSystem.replace(bench.kept.path, with: Array(text.utf8))
            let reader = bench.tuner(measures: false)
            for _ in 0..<2 { #expect(bench.tuned(reader) == Self.untouched) }
            let complaint = bench.taken()
            #expect(complaint.count == 1 && complaint[0].contains("measurements are not used"))
            _ = bench.tuned(bench.tuner())
            #expect(bench.taken().count == 2)
            #expect(try bench.kept.read().drives.count == 1)
            _ = bench.tuned(bench.tuner())
            #expect(bench.taken().isEmpty)
        }
    }

    @Test func anotherDriveIsMeasuredToo() throws {
        try withBench { bench in
            var known = try Self.measurements(of: bench.model)
            let here = try #require(known.drives.first)
            known = Measurements()
            // The same number, another disk.
            known.add(
                Measurements.Drive(
                    device: BlockDevice(
                        number: here.device.number, name: here.device.name, byteCount: 12345,
                        model: "another"), measured: 1, profile: here.profile))
            try bench.kept.write(known)
            #expect(bench.tuned(bench.tuner(measures: false)) == Self.untouched)
            _ = bench.tuned(bench.tuner())
            #expect(try bench.kept.read().drives.count == 2)
            #expect(try bench.kept.read().drive(here.device) != nil)
        }
    }

    /// As root everything can be written to but a place under a file.
    @Test func placesThatCannotBeWrittenToAreSaidOnce() throws {
        try withBench { bench in
            let nowhere = MeasurementsFile(path: "\(bench.model)/state/measurements")
            let tuner = bench.tuner(nowhere)
            let chosen = bench.tuned(tuner)
            let said = bench.taken()
            #expect(said.count == 2 && said[1].contains("not kept"), "\(said)")
            // Known while the process lives.
            #expect(bench.tuned(tuner) == chosen)
            #expect(bench.taken().isEmpty)
        }
    }

    @Test func whatCannotBeMeasuredIsReadAsBuiltIn() throws {
        try withBench { bench in
            #expect(bench.tuned(bench.tuner(), memoryBytes: 4096) == Self.untouched)
            #expect(bench.taken().isEmpty)
            let script = FaultScript()
            script.arm(.flippedBit, count: 1 << 30)
            var options = FlashOptions()
            options.interposer = { FaultyQueue($0, arena: $1, script: script) }
            let tuned = bench.tuner().tuned(options, path: bench.model, memoryBytes: 256 << 10)
            #expect([tuned.pieceBytesMax, tuned.queueDepth] == Self.untouched)
            #expect(bench.taken().first?.contains("could not be measured") == true)
            #expect(!FileSystem.exists(bench.kept.path))
            let missing = bench.tuner().tuned(
                FlashOptions(), path: "/nowhere", memoryBytes: 1 << 20)
            #expect(missing.queueDepth == Self.untouched[1])
        }
    }

    @Test func drivesWithoutDirectReadsAreReadThroughTheCache() throws {
        try withBench { bench in
            try bench.kept.write(try Self.measurements(of: bench.model, isDirect: false))
            let options = bench.tuner().tuned(
                FlashOptions(), path: bench.model, memoryBytes: 256 << 10)
            #expect(!options.mayReadDirectly)
        }
    }

    // MARK: the file

    @Test func measurementsComeBack() throws {
        try withBench { bench in
            var known = try Self.measurements(of: bench.model)
            known.memory = Measurements.Memory(bytesPerSecond: 5.25e10, threads: 2)
            try bench.kept.write(known)
            #expect(try bench.kept.read() == known)
            let folder = FileSystem.parent(of: bench.kept.path)
            #expect(try FileSystem.names(in: folder) == ["measurements"])
        }
    }

    @Test func onlySomeDrivesAreRemembered() throws {
        try withBench { bench in
            let profile = try #require(try Self.measurements(of: bench.model).drives.first).profile
            var known = Measurements()
            for number in 0..<20 {
                let device = BlockDevice(
                    number: "8:\(number)", name: "sd", byteCount: 1, model: "")
                known.add(
                    Measurements.Drive(
                        device: device, measured: Int64(number), profile: profile))
            }
            try bench.kept.write(known)
            let read = try bench.kept.read().drives
            #expect(read.count == 16 && read.first?.measured == 4 && read.last?.measured == 19)
        }
    }

    /// Random edits of a good file: an error, or something that makes sense, never a trap.
    @Test func survivesMutation() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("DriveTunerTests.survivesMutation seed \(seed)")
        var random = SplitMix(seed: seed)
        try withBench { bench in
            try bench.kept.write(try Self.measurements(of: bench.model))
            let good = try #require(fileBytes(bench.kept.path))
            for _ in 0..<400 {
                var bytes = good
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[place] = UInt8(ascii: "9")
                    case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                    default: bytes.remove(at: place)
                    }
                }
                try FileSystem.replace(bench.kept.path, with: bytes)
                guard let known = try? bench.kept.read() else { continue }
                for drive in known.drives {
                    #expect(drive.profile.choice.readBytes % 4096 == 0, "seed \(seed)")
                    #expect((1...1024).contains(drive.profile.choice.depth), "seed \(seed)")
                    #expect(drive.profile.gapBytes >= 0, "seed \(seed)")
                }
            }
        }
    }

    @Test func stateHasAPlace() {
        func place(_ variables: [String: String]) -> String {
            Places(isRoot: false) { variables[$0] }.measurements
        }
        #expect(place(["STATE_DIRECTORY": "/s:/t", "HOME": "/h"]) == "/s/measurements")
        #expect(place(["XDG_STATE_HOME": "/x"]) == "/x/sluice/measurements")
        #expect(place(["HOME": "/h"]) == "/h/.local/state/sluice/measurements")
        #expect(place([:]) == "/var/lib/sluice/measurements")
    }

    /// Reads of 512 KiB, four at a time.
    private static func measurements(
        of path: String, isDirect: Bool = true
    ) throws -> Measurements {
        let profile = DriveProfile(
            readerKind: "io_uring", isDirect: isDirect,
            speeds: [
                DriveSpeed(
                    pattern: .scattered, readBytes: 512 << 10, depth: 4, bytesPerSecond: 1e9)
            ], bytesPerSecondSustained: 9e8, memoryBytes: 16 << 20)
        var known = Measurements()
        known.add(
            Measurements.Drive(
                device: try BlockDevice.holding(path), measured: 1_700_000_000, profile: profile))
        return known
    }
}
