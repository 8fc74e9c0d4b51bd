// The daemon's command line, which it reads by hand, and what it holds while nobody asks anything.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct DaemonArgumentTests {
    private static let usage = """
        Usage: sluiced [--profile <file>] [--memory <size>] [--socket <path>] [--library <dir>] \
        [--check]
          See 'sluiced --help' for more information.

        """

    @Test(
        arguments: [
            (["--bogus"], "Unknown option '--bogus'"),
            (["--prof", "x"], "Unknown option '--prof'. Did you mean '--profile'?"),
            (["--sokcet=x"], "Unknown option '--sokcet'. Did you mean '--socket'?"),
            (["-x"], "Unknown option '-x'"), (["extra"], "Unexpected argument 'extra'"),
            (["--", "--check"], "Unexpected argument '--check'"),
            (["a", "b", "--check"], "2 unexpected arguments: 'a', 'b'"),
            (["--check=1"], "The option '--check' does not take any value, but '1' was specified.")
        ])
    func wrongWordsAreRefused(_ words: [String], _ problem: String) throws {
        let ending = try Program.sluiced.run(words, in: try Scratch())
        #expect(ending.status == 64 && ending.output.isEmpty)
        #expect(ending.errors == "Error: \(problem)\n" + Self.usage)
    }

    @Test(
        arguments: [
            (["--socket"], "Missing value for '--socket <path>'", "Socket to listen on when"),
            (["--profile", "--check"], "Missing value for '--profile <file>'", "Profile to read."),
            (["--library="], "Missing value for '--library <dir>'", "Directory of packed models")
        ])
    func wrongValuesAreRefused(_ words: [String], _ problem: String, _ help: String) throws {
        let ending = try Program.sluiced.run(words, in: try Scratch())
        let option = try #require(problem.split(separator: "'").first { $0.hasPrefix("--") })
        #expect(ending.status == 64 && ending.output.isEmpty)
        let beginning = "Error: \(problem)\nHelp:  \(option)  \(help)"
        #expect(ending.errors.hasPrefix(beginning), "\(ending.errors)")
        #expect(ending.errors.hasSuffix("\n" + Self.usage), "\(ending.errors)")
    }

    @Test(arguments: ["x", "-5"]) func sizesThatAreNoneAreRefused(_ size: String) throws {
        let ending = try Program.sluiced.run(["--memory", size], in: try Scratch())
        let beginning = """
            Error: --memory is a size such as 1536M or 1.5G, not '\(size)'
            Help:  --memory <size>  Memory for everything
            """
        #expect(ending.status == 64 && ending.output.isEmpty)
        #expect(ending.errors.hasPrefix(beginning), "\(ending.errors)")
        #expect(ending.errors.hasSuffix("\n" + Self.usage), "\(ending.errors)")
    }

    @Test(arguments: [["--help"], ["-h"], ["--bogus", "--help"], ["--version", "-h"]])
    func helpIsGiven(_ words: [String]) throws {
        let ending = try Program.sluiced.run(words, in: try Scratch())
        #expect(ending.status == 0 && ending.errors.isEmpty)
        #expect(ending.output.hasPrefix("OVERVIEW: Serves language models over a Unix socket"))
        for line in [
            "  --memory <size>         Memory for everything",
            "  -h, --help              Show help information.\n"
        ] { #expect(ending.output.contains(line), "\(ending.output)") }
    }

    /// Of an option that is given twice, the last counts.
    @Test func valuesAreTakenEitherWay() throws {
        let scratch = try Scratch()
        let profile = try scratch.write(Array("[memory]\nbudget = \"64M\"\n".utf8), to: "p.toml")
        for words in [["--profile", profile], ["--profile=/nowhere", "--profile=\(profile)"]] {
            let ending = try Program.sluiced.run(["--check"] + words, in: scratch)
            #expect(ending.status == 0 && ending.errors.contains("\(profile): nothing is wrong"))
        }
        let missing = try Program.sluiced.run(["--check", "--profile=/nowhere"], in: scratch)
        #expect(missing.status == 78, "\(missing.errors)")
    }

    /// docs/PERFORMANCE.md, "An idle daemon".
    @Test func anIdleDaemonIsSmall() throws {
        let scratch = try Scratch()
        let socket = scratch.path("socket")
        let daemon = try Program.sluiced.start(
            ["--library", scratch.folder, "--socket", socket], in: scratch)
        defer {
            daemon.signal(SIGTERM)
            _ = daemon.wait()
        }
        // What starting took is given back once the daemon serves.
        var resident = Int.max
        for _ in 0..<1000 where resident > 11 << 10 {
            Thread.sleep(microseconds: 10_000)
            guard FileSystem.exists(socket) else { continue }
            let status = TextFile.read("/proc/\(daemon.process)/status") ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
            resident =
                line.split { $0 == " " || $0 == "\t" }.dropFirst().first
                .flatMap { Int($0) } ?? .max
        }
        #expect(resident <= 11 << 10, "\(resident) KiB")
    }
}
