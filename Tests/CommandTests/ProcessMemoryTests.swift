// The programs' own pages: how much of a program's file the kernel maps varies with how it lies in
// the page cache, and is in the budget all the same.

import FoundationEssentials
import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct ProcessMemoryTests {
    /// Copies that no run has warmed, in the page cache as they were written and as they are read.
    @Test(arguments: [false, true]) func aFreshCopyKeepsItsBudget(isEvicted: Bool) throws {
        let scratch = try Scratch()
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--library", scratch.folder, "--name", "shell"],
            in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        let copy = try Self.copy(of: Program.sluice, to: scratch.path("fresh"), isEvicted)
        for _ in 0..<2 {
            let ending = try copy.run(
                [
                    "bench", scratch.path("shell.sluice"), "--memory", "30M", "--prompt", "64",
                    "--generate", "16", "--runs", "1", "--json"
                ], in: scratch)
            #expect(ending.status == 0, "\(ending.errors)")
            let peak = try #require(Self.peakBytes(ending.output), "\(ending.output)")
            // What starting took of the program was given back: there is room to spare.
            #expect(peak <= 28 << 20)
        }
    }

    /// What measures beside the model obeys the limit, too: bench, which knows nothing of memory's
    /// speed from earlier, and tune.
    @Test func measuringKeepsTheBudget() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.folder, "--memory", "64M"]
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--library", scratch.folder, "--name", "shell"],
            in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        let bench = ["bench", "shell", "--prompt", "8", "--generate", "4", "--runs", "1"]
        let isCached = 4 * (Processors.cacheBytes ?? 32 << 20) > 48 << 20
        for words in [bench, ["tune"]] {
            let program = try Program.sluice.start(
                words + library, in: scratch, stateFolder: scratch.path("state"))
            let (peak, ending) = Self.peak(of: program)
            #expect(ending.status == 0, "\(ending.errors)")
            #expect(peak > 16 << 20 && peak <= 64 << 20)
            let isDoubted = ending.output.contains("or less: measured within")
            #expect(isDoubted == isCached, "\(ending.output)")
        }
        // Doubtful speeds are not kept; the drive's are.
        let kept = String(
            decoding: fileBytes(scratch.path("state/sluice/measurements")) ?? [],
            as: UTF8.self)
        #expect(kept.contains("\"drives\""), "\(kept)")
        #expect(kept.contains("\"memory\"") != isCached, "\(kept)")
        // What tune finds with all the memory it needs is kept, and believed.
        func run(_ words: [String]) throws -> Ending {
            try Program.sluice.run(
                words + ["--library", scratch.folder], in: scratch,
                stateFolder: scratch.path("state"))
        }
        #expect(try run(["tune"]).status == 0)
        let believing = try run(bench + ["--memory", "64M"])
        #expect(believing.output.contains("memory      allows"), "\(believing.output)")
        #expect(!believing.output.contains("or less"), "\(believing.output)")
    }

    /// The most that was ever resident (VmHWM), as seen while the program runs: wait4(2) would
    /// count the pages of the test that started it.
    private static func peak(of program: RunningProgram) -> (bytes: Int, ending: Ending) {
        var peak = 0
        while let status = TextFile.read("/proc/\(program.process)/status"),
            !status.contains("State:\tZ")
        {
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            let fields = line?.split { $0 == " " || $0 == "\t" } ?? []
            // Not those of the test itself, before the program takes its place.
            if status.contains("Name:\tsluice\n"), fields.count > 1 {
                peak = max(peak, (Int(fields[1]) ?? 0) << 10)
            }
            Thread.sleep(microseconds: 1000)
        }
        return (peak, program.wait())
    }

    private static func copy(
        of program: Program, to path: String, _ isEvicted: Bool
    ) throws -> Program {
        let bytes = try #require(fileBytes(program.path))
        let file = try FileDescriptor(path: path, mode: .createNew, permissions: 0o755)
        try unsafe file.write(bytes.span.bytes, at: 0)
        if isEvicted {
            file.dropPages(offset: 0, byteCount: UInt64(bytes.count), writesFirst: true)
        }
        return Program(path: path)
    }

    private static func peakBytes(_ report: String) -> Int? {
        struct Report: Decodable {
            let peak_resident_bytes: Int
        }
        let report = try? JSONDecoder().decode(Report.self, from: Data(report.utf8))
        return report?.peak_resident_bytes
    }
}
