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
