// Sizes, profiles, places, the library: what users write.

import GenerationAPI
import Glibc
import Inference
import Knobs
import Library
import LinuxSystem
import ModelFormat
import Service
import Testing

@Suite struct ConfigurationTests {
    @Test(
        arguments: [
            ("0", 0), ("17", 17), ("1K", 1024), ("1536M", 1_610_612_736), ("2G", 2 << 30),
            ("2g", 2 << 30), ("2GiB", 2 << 30), ("2GB", 2 << 30), ("5B", 5), ("1T", 1 << 40),
            ("16777215T", 16_777_215 << 40), ("22.2M", 23_278_388), ("22.2 MiB", 23_278_388),
            ("1.5G", 3 << 29), ("1 G", 1 << 30), ("0.1K", 103), ("0.000000000000000001T", 1),
            ("1.999999999999999999T", 2 << 40)
        ] as [(String, UInt64)])
    func readsSizes(_ text: String, _ bytes: UInt64) { #expect(ByteSize.parse(text) == bytes) }

    @Test(arguments: [
        "", "M", "1.5", "1.5B", ".5G", "1.G", "1.5.5G", "-1", "+1", "1  G", "1X", "1.5e3G",
        "1.0000000000000000000G", "16777215.99999999999999999T", "1iB", "1KK", "16777216T", "1e3",
        "0x10",
        "99999999999999999999", "\u{0661}"
    ])
    func refusesSizes(_ text: String) { #expect(ByteSize.parse(text) == nil) }

    @Test func formatsSizes() {
        #expect(ByteSize.format(0) == "0 B")
        #expect(ByteSize.format(1536) == "1.5 KiB")
        #expect(ByteSize.format(200 << 20) == "200 MiB")
        #expect(ByteSize.format(.max) == "16777216 TiB")
    }

    /// What a message of ours says can be given back.
    @Test(arguments: [1, 1535, 23_000_000, 5 << 30, 1 << 50] as [UInt64])
    func readsWhatItFormats(_ bytes: UInt64) throws {
        let format = ByteSize.format(bytes)
        #expect(try ByteSize.format(#require(ByteSize.parse(format))) == format)
    }

    private func profile(_ text: String) throws(ConfigurationError) -> Profile {
        try Profile(text: text, file: "p.toml")
    }

    @Test func theGenericProfileHoldsTheDefaults() throws {
        let tests = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        #expect(try Profile(path: "/\(tests)/profiles/generic.toml") == Profile())
        #expect(try profile("") == Profile())
    }

    @Test func speculationIsNamedOrCounted() throws {
        func policy(_ value: String) throws(ConfigurationError) -> SpeculationPolicy {
            try profile("[generation]\nspeculate = \(value)").generation.speculation
        }
        #expect(try policy("\"auto\"") == .automatic)
        #expect(try policy("\"off\"") == .off)
        #expect(try policy("5") == .upTo(5))
        for wrong in ["0", "32", "-1", "\"5\"", "\"on\"", "true", "1.5"] {
            #expect(throws: ConfigurationError.self, "\(wrong)") { try policy(wrong) }
        }
    }

    @Test func readsEveryKnob() throws {
        let profile = try profile(
            """
            # A comment
            [memory]
            budget = "1536M"  # another
            [flash]
            queue_depth = 4
            read_bytes_max = '1M'
            reader = "pread"
            [compute]
            threads = 3
            [generation]
            context_tokens = 2_048
            prefill_chunk_tokens = 64
            temperature = 0
            top_k = 10
            top_p = 0.5
            min_p = 1e-2
            repeat_penalty = 1.1
            presence_penalty = -1.5
            frequency_penalty = 0.25
            penalty_window = 32
            [service]
            socket = "/run/x\\\\y"
            socket_mode = "0600"
            queue_max = 7
            models_directory = "/m"
            default_model = "d"
            drain_seconds = 0
            log_level = "debug"
            """)
        #expect(profile.memory.budgetBytes == 1536 << 20)
        #expect(profile.flash.queueDepth == 4)
        #expect(profile.flash.readBytesMax == 1 << 20)
        #expect(profile.flash.reader == .threads)
        #expect(profile.compute.threads == 3)
        #expect(profile.generation.contextTokens == 2048)
        #expect(profile.generation.prefillChunkTokens == 64)
        var sampling = SamplingParameters()
        sampling.temperature = 0
        sampling.topK = 10
        sampling.topP = 0.5
        sampling.minP = 0.01
        sampling.repetitionPenalty = 1.1
        sampling.presencePenalty = -1.5
        sampling.frequencyPenalty = 0.25
        sampling.penaltyWindow = 32
        #expect(profile.generation.sampling == sampling)
        #expect(profile.service.socketPath == "/run/x\\y")
        #expect(profile.service.socketMode == 0o600)
        #expect(profile.service.queueMax == 7)
        #expect(profile.service.modelsDirectory == "/m")
        #expect(profile.service.defaultModel == "d")
        #expect(profile.service.drainSeconds == 0)
        #expect(profile.service.logLevel == .debug)
    }

    private static let comment = "# A comment first"

    /// Editors of other systems write other line ends and a mark before the text.
    @Test(arguments: ["\n", "\r\n"], ["", "\u{FEFF}"])
    func readsEveryLineEnd(_ end: String, _ mark: String) throws {
        let lines = [Self.comment, "[memory]", "budget = \"24M\" # x", "[compute]", "threads = 3"]
        let text = mark + lines.joined(separator: end)
        #expect(try profile(text).memory.budgetBytes == 24 << 20)
        #expect(try profile(text + end).compute.threads == 3)
        #expect(try profile(lines.joined(separator: end) + "\n\r\n# end").compute.threads == 3)
    }

    @Test(arguments: [
        ("# a\r[memory]\rbudget = \"24M\"\r", 1, "carriage return"),
        ("# a\n[memory]\rbudget = \"24M\"\n", 2, "carriage return"),
        ("\n# \u{0}", 2, "NUL"), ("\n# \u{1B}", 2, "control character")
    ])
    func refusesOtherControlCharacters(_ text: String, _ line: Int, _ problem: String) {
        do throws(ConfigurationError) {
            _ = try profile(text)
            Issue.record("accepted: \(text)")
        } catch {
            #expect(error.line == line && error.problem.contains(problem), "\(error)")
        }
    }

    @Test func namesTheLineThatIsNotUTF8() {
        for (bytes, line, problem) in [
            (Array("\n# ".utf8) + [0xE9], 2, "not UTF-8"), ([0xFF, 0xFE, 0x23, 0], 1, "UTF-16")
        ] {
            #expect(
                throws: ConfigurationError(
                    file: "p", line: line,
                    problem == "UTF-16"
                        ? "UTF-16; save the file as UTF-8" : problem)
            ) {
                _ = try ConfigurationDocument(bytes, file: "p")
            }
        }
    }

    /// To Swift a quote and an accent are one character; to TOML they are two.
    @Test func readsScalarsNotCharacters() throws {
        #expect(try profile("#\u{301}\n").service.defaultModel == nil)
        #expect(try profile("[service]\nsocket = \"\u{301}x\"").service.socketPath == "\u{301}x")
    }

    @Test func saysThatAProfileSetsNothing() throws {
        let directory = TemporaryDirectory()
        for (text, count) in [("# nothing\r\n[memory]\r\n", 1), ("[compute]\nthreads = 1\n", 0)] {
            let path = directory.write(text, to: "p.toml")
            var notices: [String] = []
            _ = try Profile(path: path) { notices.append($0) }
            #expect(notices.count == count, "\(notices)")
            let configuration = try DaemonConfiguration(
                profilePath: path, memoryBytes: nil, socket: "/s", library: "/l")
            #expect(configuration.notices == notices)
        }
    }

    /// Every value that a profile takes, a sampler takes.
    @Test(arguments: ["0", "-1", "8192", "65536", "4194304"])
    func everyPenaltyWindowWorks(_ window: String) throws {
        let text = "[generation]\npenalty_window = \(window)\nrepeat_penalty = 1.1"
        let sampling = try profile(text).generation.sampling
        _ = try Sampler(sampling, vocabularySize: 10, contextTokens: 100)
        let bytes = Sampler.bytes(sampling, vocabularySize: 10, contextTokens: 100)
        #expect(bytes <= 4096, "\(bytes)")
    }

    @Test(arguments: [
        ("[memory]\nbudgte = \"1G\"", 2, "did you mean 'memory.budget'?"),
        ("[generation]\nrepeat_last_n = 8", 2, "unknown key"),
        ("budget = \"1G\"", 1, "did you mean 'memory.budget'?"),
        ("[compute]\ntop_k = 1", 2, "did you mean 'generation.top_k'?"),
        ("\n[memroy]\n", 2, "did you mean 'memory'?"), ("[x]\nqqqq = 1", 2, "unknown key 'x.qqqq'"),
        ("[generation]\npenalty_window = -2", 2, "generation.penalty_window: expected"),
        ("[memory]\nbudget = \"16M\"", 2, "17.5 MiB"),
        ("[flash]\nread_bytes_min = \"513\"", 2, "512 B"),
        ("[flash]\nread_bytes_max = \"5000\"", 2, "multiple of 4.0 KiB"),
        ("[service]\ndefault_model = \"../a\"", 2, "cannot be a model's name")
    ])
    func saysWhatToWriteInstead(_ text: String, _ line: Int, _ hint: String) {
        do throws(ConfigurationError) {
            _ = try profile(text)
            Issue.record("accepted: \(text)")
        } catch {
            #expect(error.line == line && error.problem.contains(hint), "\(error)")
        }
    }

    @Test func refusesABudgetThatNoDaemonFits() throws {
        for bytes in [0, 1 << 20, 17 << 20] as [UInt64] {
            do throws(ConfigurationError) {
                _ = try DaemonConfiguration(
                    profilePath: nil, memoryBytes: bytes, socket: "/s", library: "/l")
                Issue.record("accepted \(bytes)")
            } catch { #expect(error.description.contains("17.5 MiB"), "\(error)") }
        }
    }

    @Test(arguments: [
        ("x = 1", 1), ("[memory]\nbudget = 5", 2), ("[memory]\n\nbudget = \"x\"", 3),
        ("[memory]\nbudget = \"1K\"", 2), ("[memory]\nbudgets = \"1G\"", 2),
        ("[nothing]\na = 1", 2),
        ("[flash]\nqueue_depth = 0", 2), ("[flash]\nqueue_depth = 1.5", 2),
        ("[flash]\nread_bytes_max = \"some\"", 2),
        ("[flash]\nreader = \"mmap\"", 2), ("[flash]\nread_bytes_max = \"1G\"", 2),
        ("[compute]\nthreads = \"many\"", 2), ("[compute]\nthreads = -1", 2),
        ("[generation]\ntemperature = \"hot\"", 2), ("[generation]\ntop_p = 2", 2),
        ("[service]\nsocket_mode = \"0999\"", 2), ("[service]\nsocket_mode = 660", 2),
        ("[service]\nlog_level = \"loud\"", 2), ("[service]\nsocket = 5", 2),
        ("[service]\nsocket = \"a", 2), ("[service]\nsocket = \"\\q\"", 2),
        ("[service]\nsocket = 'a", 2), ("[service]\nsocket = \"a\" b", 2), ("[service", 1),
        ("[service] x", 1), ("[[service]]", 1), ("[a.b]", 1), ("[]", 1), ("= 1", 1), ("a", 1),
        ("a =", 1), ("a = [1]", 1), ("a = {}", 1), ("a = 1979-05-27", 1), ("a = 01", 1),
        ("a = 1__0", 1), ("a = _1", 1), ("a = nan", 1), ("a = inf", 1), ("a = 1e999", 1),
        ("a = 0x1", 1), ("a = tru", 1), ("\"a\" = 1", 1), ("a.b = 1", 1), ("a = 1.", 1),
        ("[memory]\nbudget = \"1G\"\nbudget = \"1G\"", 3), ("[memory]\n[memory]", 2),
        ("a = 99999999999999999999e", 1), ("\u{0}", 1)
    ])
    func refusesByLine(_ text: String, _ line: Int) {
        do throws(ConfigurationError) {
            _ = try profile(text)
            Issue.record("accepted: \(text)")
        } catch {
            #expect(error.line == line)
            #expect(error.description.hasPrefix("p.toml:\(line): "))
            #expect(ExitStatus(error) == .badConfiguration)
        }
    }

    /// Random edits of the shipped profile: an error or a profile, never a trap.
    @Test func survivesMutation() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("ConfigurationTests.survivesMutation seed \(seed)")
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        let good = Array(
            "[memory]\nbudget = \"1G\" # x\n[generation]\ntop_p = 0.9\ntop_k = 1_0\n".utf8)
        for _ in 0..<5000 {
            var bytes = good
            for _ in 0...random(3) { bytes[random(bytes.count)] = UInt8(random(256)) }
            _ = try? Profile(text: String(decoding: bytes, as: UTF8.self), file: "p")
        }
    }

    @Test func refusesFilesThatAreNoProfiles() {
        for path in ["/nonexistent", "/tmp", "/dev/zero"] {
            #expect(throws: ConfigurationError.self) { try Profile(path: path) }
        }
    }

    @Test func findsPlaces() throws {
        func places(_ variables: [String: String], isRoot: Bool = false) -> Places {
            Places(isRoot: isRoot) { variables[$0] }
        }
        let service = places(["STATE_DIRECTORY": "/s:/t", "RUNTIME_DIRECTORY": "/r"])
        #expect(service.library == "/s/models")
        #expect(service.daemonSocket == "/r/sluice.sock")
        let user = places(["HOME": "/h", "XDG_RUNTIME_DIR": "/x"])
        #expect(user.library == "/h/.local/share/sluice/models")
        #expect(user.daemonSocket == "/x/sluice.sock")
        #expect(try user.clientSockets() == ["/x/sluice.sock", "/run/sluice/sluice.sock"])
        #expect(places(["XDG_DATA_HOME": "/d"]).library == "/d/sluice/models")
        #expect(service.profiles == ["/etc/sluice/sluice.toml"])
        #expect(
            user.profiles == ["/h/.config/sluice/sluice.toml", "/etc/sluice/sluice.toml"])
        #expect(places([:]).daemonSocket == nil)
        #expect(places([:], isRoot: true).daemonSocket == "/run/sluice/sluice.sock")
        #expect(try places(["SLUICE_HOST": "unix:///a/b"]).clientSockets() == ["/a/b"])
        for host in ["/a/b", "unix://a", "http://x", "unix://"] {
            #expect(throws: ConfigurationError.self) {
                try places(["SLUICE_HOST": host]).clientSockets()
            }
        }
    }
}

@Suite struct LibraryTests {
    @Test func listsFindsAndRemoves() throws {
        let directory = TemporaryDirectory()
        _ = directory.write("12345", to: "b.sluice")
        _ = directory.write("1", to: "a.sluice")
        _ = directory.write("1", to: "note.txt")
        _ = directory.write("1", to: ".hidden.sluice")
        unsafe mkdir(directory.path + "/folder.sluice", 0o700)
        unsafe symlink("/etc/passwd", directory.path + "/link.sluice")
        let library = ModelLibrary(directory: directory.path)
        #expect(try library.list().map(\.name) == ["a", "b"])
        #expect(try library.find("b").bytes == 5)
        #expect(try library.resolve("b") == directory.path + "/b.sluice")
        #expect(try library.resolve("./x.gguf") == "./x.gguf")
        #expect(throws: LibraryError.self) { try library.find("link") }
        #expect(throws: LibraryError.self) { try library.find("folder") }
        #expect(try library.find("b:latest").name == "b")
        #expect(throws: LibraryError.self) { try library.find(":latest") }
        try library.remove("b")
        #expect(throws: LibraryError.notFound(name: "b", directory: directory.path)) {
            try library.remove("b")
        }
        #expect(try library.list().map(\.name) == ["a"])
        #expect(try ModelLibrary(directory: "/nonexistent").list().isEmpty)
    }

    @Test(arguments: [
        "", ".", "..", "../a", "a/b", "/etc/passwd", "-a", ".a", "a b", "a\0b", "a\n", "\u{e9}",
        String(repeating: "a", count: 201)
    ])
    func refusesNames(_ name: String) throws {
        let library = ModelLibrary(directory: "/tmp")
        #expect(throws: LibraryError.invalidName(name)) { try library.path(of: name) }
        #expect(throws: LibraryError.self) { try library.remove(name) }
    }

    @Test(arguments: ["a", "qwen3-0.6b_q4", "a:b@c+d", "0"])
    func allowsNames(_ name: String) { #expect(ModelName.isValid(name)) }
}
