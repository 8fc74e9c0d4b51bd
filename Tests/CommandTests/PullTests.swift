// `sluice pull` from servers that stall, cut, lie and refuse: the model, or one line and nothing
// left.

import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

@Suite(.enabled(if: ModelServer.isPossible, "needs python3 and curl"))
struct PullTests {
    private static let models = "\(Repository.fixtures)/models"
    private static let name = "qwen3moe"

    /// What an import of the same file makes.
    private static let expected: [UInt8]? = {
        guard let scratch = try? Scratch(),
            let ending = try? Program.sluice.run(
                ["import", "\(models)/\(name).gguf", "--library", scratch.folder], in: scratch),
            ending.status == 0
        else { return nil }
        return fileBytes(scratch.path("\(name).sluice"))
    }()

    private struct Setting {
        let scratch: Scratch
        let server: ModelServer
        let library: String

        init(_ folder: String = PullTests.models) throws {
            scratch = try Scratch()
            server = try ModelServer(folder, in: scratch)
            library = scratch.path("library")
        }

        func pull(_ address: String, _ options: [String] = []) throws -> Ending {
            try Program.sluice.run(
                ["pull", address, "--library", library, "--stall-seconds", "1"] + options,
                in: scratch)
        }

        /// With an endpoint and a token of the hub's.
        func pull(hub path: String, token: String) throws -> Ending {
            try Program(path: "/usr/bin/env").run(
                [
                    "HF_ENDPOINT=http://127.0.0.1:\(server.port)", "HF_TOKEN=\(token)",
                    Program.sluice.path, "pull", "hf:\(path)", "--library", library,
                    "--stall-seconds", "1"
                ], in: scratch)
        }

        var model: String { "\(library)/\(PullTests.name).sluice" }

        /// Whether the library's model is what an import of the same file makes.
        var hasModel: Bool {
            PullTests.expected != nil && fileBytes(model) == PullTests.expected
        }

        func left() -> [String] { (try? FileSystem.names(in: library)) ?? [] }
    }

    @Test(arguments: [
        "plain", "norange", "cut100000", "stall100000", "chunked", "chunked+cut200000", "busy2",
        "changes", "notag+cut100000"
    ])
    func whatCanBeFetchedIsFetched(method: String) throws {
        let setting = try Setting()
        let ending = try setting.pull(setting.server.url(method, "\(Self.name).gguf"))
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(ending.errorLines.last?.hasPrefix("\(Self.name): imported, ") == true)
        #expect(setting.left() == ["\(Self.name).sluice"])
        #expect(setting.hasModel)
    }

    @Test(arguments: [
        ("norange+cut100000", 69, "ended at byte 100000 of 458368", true),
        ("long100", 69, "ended at byte 458368 of 458468", true),
        ("short100", 65, "expected a file that holds its tensors, found 458268", false),
        ("shifted+cut100000", 65, "asked for byte 100000, the server sends from 100001 on", true),
        ("changes+cut100000", 65, "it changed while it was fetched", true),
        ("html", 65, "expected a GGUF file (magic 'GGUF'), found '<!do'", false),
        ("closed", 77, "the server refuses it (403): it is not public", true),
        ("none", 66, "there is no such file (404)", true),
        ("loop", 69, "Maximum (10) redirects", true),
        ("later9999", 69, "the server answers 429 and asks to wait for 9999 s", true),
        ("silent", 69, "nothing came for 1 s, 8 times in a row", true)
    ])
    func whatCannotIsToldInALine(method: String, status: Int32, said: String, named: Bool) throws {
        let setting = try Setting()
        let url = setting.server.url(method, "\(Self.name).gguf")
        let ending = try setting.pull("\(url)?secret=1")
        #expect(ending.status == status, "\(ending.errors)")
        let lines = ending.errorLines
        #expect(lines.count == 1 && lines[0].contains(said), "\(ending.errors)")
        #expect(!named || lines[0].contains("\(url): "), "\(ending.errors)")
        #expect(!ending.errors.contains("secret"))
        #expect(setting.left().isEmpty)
    }

    /// What was packed is not fetched again.
    @Test func brokenConnectionsAreTakenUpWhereTheyBroke() throws {
        let setting = try Setting()
        let method = "cut100000"
        let ending = try setting.pull(setting.server.url(method, "\(Self.name).gguf"))
        #expect(ending.status == 0, "\(ending.errors)")
        let requests = setting.server.requests(method)
        #expect(requests.map(\.first) == [0, 100_000, 200_000, 300_000, 400_000])
        #expect(requests.reduce(0) { $0 + $1.sent } == 458_368)
    }

    @Test func hubsChecksumsAndTokensCount() throws {
        let setting = try Setting()
        // The server takes the place of the owner for a method.
        let path = "hub+cut200000/r/\(Self.name).gguf"
        let refused = try setting.pull(hub: path, token: "x")
        #expect(refused.status == 77 && refused.errors.contains("$HF_TOKEN does not open it"))
        #expect(!refused.errors.contains("Bearer"))
        let ending = try setting.pull(hub: path, token: "t")
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(ending.errors.contains("\(Self.name): the SHA-256 is the hub's"))
        #expect(setting.hasModel)
        try FileSystem.remove(setting.model)
        let wrong = try setting.pull(hub: "wrong/r/\(Self.name).gguf", token: "t")
        #expect(wrong.status == 65 && wrong.errors.contains("expected the SHA-256 "))
        #expect(setting.left().isEmpty)
    }

    /// A server's wish to be left alone for a while is followed, and said.
    @Test func serversAreNotAskedBeforeTheyWant() throws {
        let setting = try Setting()
        let start = MonotonicClock.nanoseconds
        let ending = try setting.pull(setting.server.url("later2", "\(Self.name).gguf"))
        #expect(ending.status == 0 && setting.hasModel, "\(ending.errors)")
        #expect(ending.errors.contains("answers 429 and asks to wait for 2 s"), "\(ending.errors)")
        #expect(MonotonicClock.nanoseconds - start >= 2_000_000_000)
    }

    @Test func checksumsThatAreGivenCount() throws {
        let setting = try Setting()
        let url = setting.server.url("plain", "\(Self.name).gguf")
        var sum = SHA256()
        let bytes = try #require(fileBytes("\(Self.models)/\(Self.name).gguf"))
        sum.add(unsafe bytes.span.bytes)
        let wrong = try setting.pull(url, ["--sha256", String(repeating: "ab", count: 32)])
        #expect(wrong.status == 65 && wrong.errors.contains("expected the SHA-256 abab"))
        #expect(setting.left().isEmpty)
        let none = try setting.pull(url, ["--sha256", "abc"])
        #expect(none.status == 64 && none.errors.contains("64 hexadecimal digits"))
        let two = try setting.pull(
            url, ["--sha256", sum.hexadecimal, "--sha256", sum.hexadecimal])
        #expect(two.status == 64 && setting.left().isEmpty, "\(two.errors)")
        let right = try setting.pull(url, ["--sha256", sum.hexadecimal.uppercased()])
        #expect(right.status == 0 && setting.hasModel, "\(right.errors)")
        #expect(right.errors.contains("the SHA-256 is the one that was given"))
    }

    /// Ended in the middle, a pull goes on from there, in any way of ending; the server has to have
    /// the same file still.
    @Test(arguments: [("slow400000", true), ("slow400000+notag", false)])
    func endedPullsGoOn(method: String, goesOn: Bool) throws {
        let setting = try Setting(FileSystem.parent(of: Repository.model))
        let file = FileSystem.name(of: Repository.model)
        let size = try #require(fileBytes(Repository.model)).count
        let whole = try Program.sluice.run(
            ["import", Repository.model, "--library", setting.scratch.path("file"), "--name", "m"],
            in: setting.scratch)
        #expect(whole.status == 0, "\(whole.errors)")
        let expected = try #require(fileBytes(setting.scratch.path("file/m.sluice")))
        let url = setting.server.url(method, file)
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for signal in [SIGKILL, SIGINT, SIGKILL, SIGTERM] {
            let program = try Program.sluice.start(
                ["pull", url, "--name", "m", "--library", setting.library], in: setting.scratch)
            Thread.sleep(microseconds: UInt32(200_000 + random.next() % 200_000))
            program.signal(signal)
            _ = program.wait()
            guard !FileSystem.exists("\(setting.library)/m.sluice") else { break }
            let used = setting.left().reduce(0) {
                $0 + ((try? Int(SystemCalls.status("\(setting.library)/\($1)").bytes)) ?? 0)
            }
            #expect(used <= expected.count + 64 << 20, "seed \(seed)")
        }
        let before = setting.server.requests(method).count
        if !FileSystem.exists("\(setting.library)/m.sluice") {
            let ending = try setting.pull(url, ["--name", "m"])
            #expect(ending.status == 0, "seed \(seed): \(ending.errors)")
            let sent = setting.server.requests(method).dropFirst(before).map(\.sent).max() ?? 0
            #expect(goesOn ? sent < size : sent >= size, "seed \(seed): \(sent)")
        }
        let isSame = fileBytes("\(setting.library)/m.sluice") == expected
        #expect(isSame, "seed \(seed)")
        #expect(setting.left() == ["m.sluice"], "seed \(seed)")
    }

    /// What was left of one can be dropped by its name.
    @Test func endedPullsCanBeDropped() throws {
        let setting = try Setting(FileSystem.parent(of: Repository.model))
        let url = setting.server.url(
            "cut9000000+norange", FileSystem.name(of: Repository.model))
        let ending = try setting.pull(url, ["--name", "m"])
        #expect(ending.status == 69, "\(ending.errors)")
        #expect(ending.errors.contains("what has come is kept"), "\(ending.errors)")
        #expect(setting.left() == [".m.sluice.arriving", ".m.sluice.arriving.journal"])
        let removed = try Program.sluice.run(
            ["rm", "m", "--library", setting.library], in: setting.scratch)
        #expect(removed.status == 0 && setting.left().isEmpty, "\(removed.errors)")
    }

    @Test(arguments: ["plain", "norange", "cut1500"])
    func allPartsOfSplitModelsAreFetched(method: String) throws {
        let setting = try Setting("\(Repository.fixtures)/gguf")
        let first = "tiny-split-00001-of-00003.gguf"
        let ending = try setting.pull(setting.server.url(method, first))
        let imported = try Program.sluice.run(
            [
                "import", "\(Repository.fixtures)/gguf/\(first)", "--library",
                setting.scratch.path("file")
            ], in: setting.scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        #expect(ending.status == 0, "\(ending.errors)")
        let expected = try #require(fileBytes(setting.scratch.path("file/tiny-split.sluice")))
        let isSame = fileBytes("\(setting.library)/tiny-split.sluice") == expected
        #expect(isSame)
        // A later part is not where to begin.
        let second = "tiny-split-00002-of-00003.gguf"
        let refused = try setting.pull(setting.server.url("plain", second), ["--force"])
        #expect(refused.status == 65, "\(refused.errors)")
    }

    @Test func missingProgramsAndHostsAreNamed() throws {
        let setting = try Setting()
        let url = setting.server.url("plain", "\(Self.name).gguf")
        let ending = try Program(path: "/bin/sh").run(
            ["-c", "PATH=/nowhere exec \"$0\" pull \"$1\"", Program.sluice.path, url],
            in: setting.scratch)
        #expect(ending.status == 69 && ending.errors.contains("curl(1) fetches models, and it is"))
        // Nobody listens there.
        let nobody = try setting.pull("http://127.0.0.1:1/m.gguf")
        #expect(nobody.status == 69 && nobody.errorLines.count == 1, "\(nobody.errors)")
        let address = try setting.pull("m.gguf")
        #expect(address.status == 64 && address.errors.contains("hf:OWNER/REPO/FILE.gguf"))
    }

    /// A drive without room says so before the weights come; a model of that name before anything.
    @Test func roomAndNamesAreAskedForFirst() throws {
        let setting = try Setting()
        let url = setting.server.url("plain", "\(Self.name).gguf")
        let full = try Program(path: "/bin/sh").run(
            [
                "-c", "ulimit -f 100; exec \"$0\" pull \"$1\" --library \"$2\"",
                Program.sluice.path, url, setting.library
            ], in: setting.scratch)
        #expect(full.status == 74 && setting.left().isEmpty, "\(full.status) \(full.errors)")
        #expect(try setting.pull(url).status == 0)
        let before = setting.server.requests("plain").count
        let taken = try setting.pull(url)
        #expect(taken.status == 73 && taken.errors.contains("--force"), "\(taken.errors)")
        #expect(setting.server.requests("plain").count == before)
    }

    /// Killed at any byte, and ended by Ctrl-C: no model that is not whole, and the next pull makes
    /// one and leaves nothing else.
    @Test func killedPullsLeaveNothingThatStays() throws {
        let setting = try Setting()
        let url = setting.server.url("slow5000", "\(Self.name).gguf")
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for signal in [SIGKILL, SIGINT, SIGKILL, SIGTERM, SIGKILL, SIGINT] {
            let program = try Program.sluice.start(
                ["pull", url, "--library", setting.library], in: setting.scratch)
            Thread.sleep(microseconds: UInt32(random.next() % 400_000))
            program.signal(signal)
            let ending = program.wait()
            guard !FileSystem.exists(setting.model) else {
                // It was faster.
                #expect(setting.hasModel, "seed \(seed)")
                try FileSystem.remove(setting.model)
                continue
            }
            #expect(ending.status != 0, "seed \(seed)")
            let hasLeft = setting.left().contains { $0.contains("-\(program.process).") }
            #expect(signal != SIGINT || !hasLeft, "seed \(seed)")
        }
        let ending = try setting.pull(url)
        #expect(ending.status == 0, "seed \(seed): \(ending.errors)")
        #expect(setting.left() == ["\(Self.name).sluice"], "seed \(seed)")
        #expect(setting.hasModel, "seed \(seed)")
    }
}
