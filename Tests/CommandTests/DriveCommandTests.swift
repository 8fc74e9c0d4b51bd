// Measuring drives as users meet it: `sluice tune`, what `show` and `bench` make of it, and the
// daemon's first load.

import FoundationEssentials
import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct DriveCommandTests {
    private struct Tuned: Decodable {
        struct Choice: Decodable {
            let readBytes: Int
            let queueDepth: Int
        }

        struct Speed: Decodable {
            let pattern: String
            let bytesPerSecond: Double
        }

        let chosen: Choice
        let speeds: [Speed]
        let bytesPerSecondMax: Double
        let keptIn: String?
    }

    private struct Benchmarked: Decodable {
        struct Drive: Decodable {
            let readBytesMax: Int
            let queueDepth: Int
        }

        let drive: Drive
        let generatedTokensPerSecond: Double
        let millisecondsPerToken: Double
        let limitTokensPerSecond: Double
        let flashLimitTokensPerSecond: Double
        let memoryLimitTokensPerSecond: Double
        let flashFraction: Double
        let limitFraction: Double
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ ending: Ending) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(ending.output.utf8))
    }

    @Test func whatTuneFindsIsUsedAndExpected() throws {
        let scratch = try Scratch()
        func run(_ arguments: [String]) throws -> Ending {
            try Program.sluice.run(
                arguments + ["--library", scratch.path("library")], in: scratch,
                stateFolder: scratch.path("state"))
        }
        let show = ["show", Repository.model, "--memory", "30M"]
        let before = try run(show)
        #expect(before.output.contains("unknown: run sluice tune"), "\(before.output)")

        let ending = try run(["tune", "--json", "--out", scratch.path("p.toml")])
        #expect(ending.status == 0 && ending.errorLines.isEmpty, "\(ending.errors)")
        let tuned = try decode(Tuned.self, ending)
        #expect(tuned.keptIn == scratch.path("state/sluice/measurements"))
        #expect(tuned.speeds.contains { $0.pattern == "scattered" })

        let after = try run(show)
        #expect(after.output.contains("(a prediction)"), "\(after.output)")
        #expect(after.output.contains("of experts found in memory"), "\(after.output)")
        let bench = [
            "bench", Repository.model, "--memory", "30M", "--prompt", "4", "--generate", "4",
            "--runs", "1", "--json"
        ]
        for extra in [[], ["--profile", scratch.path("p.toml")]] {
            let drive = try decode(Benchmarked.self, try run(bench + extra)).drive
            #expect(drive.readBytesMax == tuned.chosen.readBytes)
            #expect(drive.queueDepth == tuned.chosen.queueDepth)
        }
        // A profile wins.
        let other = try scratch.write(
            Array("[flash]\nqueue_depth = 5\nread_bytes_max = \"16K\"\n".utf8), to: "o.toml")
        let figures = try decode(Benchmarked.self, try run(bench + ["--profile", other]))
        #expect(figures.drive.queueDepth == 5 && figures.drive.readBytesMax == 16384)
        let limit = min(figures.flashLimitTokensPerSecond, figures.memoryLimitTokensPerSecond)
        let speed = figures.generatedTokensPerSecond
        #expect(figures.limitTokensPerSecond == limit)
        #expect(abs(figures.limitFraction * limit / speed - 1) < 1e-9)
        #expect(abs(figures.flashFraction * figures.flashLimitTokensPerSecond / speed - 1) < 1e-9)
        #expect(abs(figures.millisecondsPerToken * speed / 1000 - 1) < 1e-9)
    }

    /// A measurement that fails leaves an earlier profile as it was.
    @Test func tuneKeepsAnEarlierProfile() throws {
        let scratch = try Scratch()
        let profile = try scratch.write(Array("old".utf8), to: "p.toml")
        let ending = try Program.sluice.run(
            ["tune", "--library", scratch.path("library"), "--out", profile], in: scratch)
        #expect(ending.status == 66 && ending.errors.contains("import one first"))
        #expect(fileBytes(profile) == Array("old".utf8))
        let folder = try Program.sluice.run(
            ["tune", "--model", Repository.model, "--out", "/tmp"], in: scratch)
        #expect(folder.status == 66 && folder.errors.contains("/tmp: open: Is a directory"))
        let files = try FileSystem.names(in: scratch.folder)
        #expect(!files.contains { $0.contains("part") }, "\(files)")
    }

    @Test func aFileCanBeTooSmall() throws {
        let scratch = try Scratch()
        let small = try scratch.write([UInt8](repeating: 1, count: 8192), to: "small.sluice")
        let ending = try Program.sluice.run(["tune", "--model", small], in: scratch)
        #expect(ending.status == 65 && ending.errors.contains("too small"), "\(ending.errors)")
        #expect(ending.errorLines.count == 1)
    }

    /// Measurements that cannot be kept are shown all the same.
    @Test func tuneWithoutAPlaceToKeepSaysSo() throws {
        let scratch = try Scratch()
        let file = try scratch.write([], to: "file")
        let ending = try Program.sluice.run(
            ["tune", "--model", Repository.model, "--library", scratch.path("library")],
            in: scratch, stateFolder: file)
        #expect(ending.status == 0)
        let complaints = ending.errorLines.filter { !$0.contains("imported") }
        #expect(complaints.count == 1 && ending.errors.contains("not kept"), "\(ending.errors)")
        #expect(ending.output.contains("chosen      reads of"), "\(ending.output)")
        #expect(!ending.output.contains("kept in"))
    }

    /// The first load from a drive measures it, in the memory that the weights are about to take.
    @Test func theDaemonMeasuresWithinItsBudget() throws {
        let scratch = try Scratch()
        let (library, socket) = (scratch.path("library"), scratch.path("socket"))
        let kept = scratch.path("state/sluice/measurements")
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--library", library], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        let daemon = try Program.sluiced.start(
            ["--memory", "25M", "--library", library, "--socket", socket], in: scratch,
            stateFolder: scratch.path("state"))
        for _ in 0..<1000 where !FileSystem.exists(socket) { Thread.sleep(microseconds: 10_000) }
        // Nobody has asked for a model yet.
        #expect(!FileSystem.exists(kept))
        let answer = try Program.sluice.run(
            [
                "run", "--socket", socket, "shell-moe-q4_0", "What is curl?", "--max-tokens", "4"
            ], in: scratch)
        #expect(answer.status == 0, "\(answer.errors)")
        #expect(FileSystem.exists(kept))
        let measured = TextFile.read(kept) ?? ""
        #expect(measured.contains("multiplyAddsPerSecond"), "\(measured)")
        // What an answer says before it comes is what show says.
        let shown = try Program.sluice.run(
            ["show", "shell-moe-q4_0", "--library", library, "--memory", "25M", "--service"],
            in: scratch, stateFolder: scratch.path("state"))
        let lines = shown.output.split(separator: "\n").map { $0.split(separator: " ") }
        let line = lines.first { $0.first == "expected" && $0.count > 1 } ?? []
        let client = try RawClient(socket)
        try client.send(ServedModel.request)
        let reply = client.read(until: nil)
        let said = reply.split(separator: "\"expected\":").last?.prefix { $0 != "}" } ?? ""
        let figures = said.split(separator: ":").map { $0.prefix { $0 != "," } }.compactMap {
            Double($0)
        }
        #expect(figures.count == 2 && figures.allSatisfy { $0 > 0 }, "\(reply)")
        // One was rounded to thousandths, the other to tenths; another division is a percent off.
        let shownSpeed = line.dropFirst().first.flatMap { Double($0) } ?? 0
        let difference = abs((figures.last ?? 0) - shownSpeed)
        #expect(difference < 0.06 + shownSpeed * 0.004, "\(shown.output) \(said)")
        let status = TextFile.read("/proc/\(daemon.process)/status") ?? ""
        let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        let kibibytes = Int(peak.filter(\.isNumber)) ?? .max
        #expect(kibibytes <= 25 << 10)
        daemon.signal(SIGTERM)
        let ending = daemon.wait()
        #expect(ending.status == 0)
        #expect(ending.errors.contains("measured the drive"), "\(ending.errors)")
    }
}
