// Manual pages and completions are what the commands say of themselves: one page for each, and
// nothing that groff complains about.

import LinuxSystem
import Testing

@Suite struct ManPageTests {
    private static let script = "\(Repository.folder)/scripts/man_pages.py"
    private static let hasPython = FileSystem.exists("/usr/bin/python3")

    @Test(.enabled(if: hasPython, "needs python3"))
    func everyCommandHasAPage() throws {
        let scratch = try Scratch()
        let made = try Program(path: "/usr/bin/python3").run(
            [
                Self.script, "--sluice", Program.sluice.path, "--sluiced", Program.sluiced.path,
                scratch.folder
            ], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        let help = try Program.sluice.run(["--help"], in: scratch).output
        let commands = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst()
            .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
            .compactMap { $0.split { " ,".contains($0) }.first }
            .filter { $0 != "help" && $0 != "See" }
        #expect(commands.count > 10, "\(help)")
        for page in commands.map({ "sluice-\($0).1" }) + ["sluice.1", "sluiced.8"] {
            let text = try #require(TextFile.read(scratch.path(page)), "\(page)")
            #expect(text.hasPrefix(".TH ") && text.contains("\n.SH OPTIONS\n"), "\(page)")
            guard FileSystem.exists("/usr/bin/groff") else { continue }
            let read = try Program(path: "/usr/bin/groff").run(
                ["-ww", "-man", "-Tutf8", scratch.path(page)], in: scratch)
            #expect(read.status == 0 && read.errors.isEmpty, "\(page): \(read.errors)")
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completionsAreMade(_ shell: String) throws {
        let scratch = try Scratch()
        let made = try Program.sluice.run(["--generate-completion-script", shell], in: scratch)
        #expect(made.status == 0 && made.output.contains("tokenize"), "\(made.errors)")
    }
}
