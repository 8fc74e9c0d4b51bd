// The client as somebody tries it for the first time: statuses, one-line errors, and what it
// prints.

import FoundationEssentials
import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct NewcomerTests {
    private static let tiny = "\(Repository.fixtures)/models/qwen3moe.gguf"
    private static let sparse = "\(Repository.fixtures)/models/arcee.gguf"
    private static let shortText = "\(Repository.folder)/.swift-format"
    private static let longText = "\(Repository.folder)/README.md"

    @Test(arguments: [
        ([], 0, ""), (["--help"], 0, ""), (["--version"], 0, ""), (["help", "eval"], 0, ""),
        (["--nonsense"], 64, "Unknown"),
        (["frobnicate"], 64, ""), (["eval", "MODEL"], 64, "give one of"),
        (["eval", "MODEL", "--tokens", "1,x"], 64, "not a token id"),
        (["eval", "MODEL", "--tokens", "999999"], 64, "outside the vocabulary"),
        (["eval", "MODEL", "--tokens", "1", "--memory", "lots"], 64, "is a size"),
        (["eval", "MODEL", "--tokens", "1", "--memory", "1M"], 78, "process 16.0 MiB + "),
        (["eval", "MODEL", "--tokens", "1", "--resident", "--memory", "1G"], 64, "no limit"),
        (["eval", "MODEL", "--tokens", "1", "--kv-bits", "3"], 64, "32, 16, 8, 4 or 2"),
        (["eval", "MODEL", "--tokens", "1", "--threads", "0"], 64, "--threads"),
        (["eval", "MODEL", "--tokens", "1", "--activation-sparsity", "0"], 64, "between 0 and 1"),
        (["eval", "MODEL", "--tokens", "1", "--activation-sparsity", "1"], 64, "between 0 and 1"),
        (["eval", "MODEL", "--tokens", "1", "--activation-sparsity", "x"], 64, "not 'x'"),
        (["run", "MODEL", "hello", "--activation-sparsity", "0.5"], 64, "go with --local"),
        (["eval", "MODEL", "--tokens", "1", "--context", "4194304"], 64, "4194304 are asked"),
        (["show", "MODEL", "--context", "4194304"], 64, "the model's context is"),
        (["bench", "MODEL", "--prompt", "4194303"], 64, "the model's context is"),
        (["run", "--local", "MODEL", "x", "--context", "4194304"], 64, "the model's context is"),
        (["import", tiny, "--neurons", "some"], 64, "bundled"),
        (["import", tiny, "--neurons", "bundled"], 65, "mixture of experts"),
        (["eval", "MODEL", "--file", "/nowhere"], 66, "No such file"),
        (["eval", "/nowhere.sluice", "--tokens", "1"], 66, "No such file"),
        (["eval", "/nowhere.gguf", "--tokens", "1"], 66, "No such file"),
        (["eval", "/tmp/", "--tokens", "1"], 66, "Is a directory"),
        (["eval", "nobody", "--tokens", "1"], 66, "no model 'nobody'"),
        (["eval", "\(Repository.folder)/README.md", "--tokens", "1"], 65, "expected"),
        (["import", "/nowhere.gguf"], 66, "No such file"),
        (["import", "\(Repository.folder)/README.md"], 65, "expected"),
        (["import", "-"], 64, "standard input has no name"),
        (["import", "-", "--name", "a"], 65, "standard input at byte 0: expected more of a GGUF"),
        (["import", "-", "--name", "a", "--consume"], 64, "--consume is for files"),
        (["import", "/nowhere.gguf", "--consume"], 66, "No such file"),
        (["import", "/tmp"], 66, "Is a directory"), (["rm", "nobody"], 66, "no model"),
        (["ls", "--library", "/nowhere"], 66, "No such file"),
        (["rm", "../escape"], 64, "cannot be a model's name"),
        (["bench", "MODEL", "--prompt", "0"], 64, "--prompt"),
        (["bench", "MODEL", "--context", "4"], 64, "--context"),
        (["tokenize", "MODEL", "--text", "a", "--file", "b"], 64, "give one of"),
        (["template"], 64, "give a model or --file"),
        (["template", "MODEL", "--set", "x"], 64, "--set: expected name=value"),
        (["template", "--file", "/nowhere"], 66, "No such file"),
        (["bench", "MODEL", "--memory", "-5"], 64, "is a size such as 1536M or 1.5G, not '-5'"),
        (["eval", "MODEL", "--tokens", "1", "--threads", "-1"], 64, "--threads is between"),
        (["run", "MODEL", "a", "--max-tokens", "-1"], 64, "--max-tokens is at least 1"),
        (["tune"], 66, "import one first"), (["tune", "MODEL"], 64, "Unexpected"),
        (["tune", "--model", "nobody"], 66, "no model 'nobody'"),
        (["tune", "--model", "/nowhere.sluice"], 66, "No such file"),
        (["tune", "--model", "/tmp/"], 66, "Is a directory"),
        (["tune", "--model", "\(Repository.fixtures)/small.sluice"], 66, "No such file"),
        (["tune", "--model", "MODEL", "--out", "/nowhere/p.toml"], 66, "No such file"),
        (["bench", "MODEL", "--ladder", "--prompt", "4", "--generate", "2"], 65, "not bundled"),
        (["bench", sparse, "--ladder", "--sparse", "exact"], 64, "--sparse"),
        (["bench", sparse, "--source", "x.gguf"], 64, "--ladder"),
        (["bench", sparse, "--text", "/nowhere"], 66, "No such file"),
        (["bench", sparse, "--text", "EMPTY"], 65, "has 0 tokens"),
        (["calibrate", "MODEL"], 64, "--text"),
        (["calibrate", "MODEL", "--text", "/nowhere"], 66, "No such file"),
        (["calibrate", "MODEL", "--text", longText], 65, "never stay silent"),
        (["calibrate", sparse, "--text", "EMPTY"], 65, "has 0 tokens"),
        (["calibrate", sparse, "--text", longText], 65, "multiple of 32"),
        (["calibrate", sparse, "--text", shortText], 65, "at least 1024"),
        (["calibrate", sparse, "--text", longText, "--recall", "1"], 64, "--recall"),
        (["run", "MODEL", "hello", "--socket", "/nowhere.sock"], 69, "")
    ])
    func statusesAndMessages(arguments: [String], status: Int32, message: String) throws {
        let scratch = try Scratch()
        var words = arguments
        if words.contains("MODEL") {
            words = words.map { $0 == "MODEL" ? Self.tiny : $0 }
        }
        if words.contains("EMPTY") {
            let empty = try scratch.write([], to: "empty")
            words = words.map { $0 == "EMPTY" ? empty : $0 }
        }
        let isRemote = ["run", "tokenize"].contains(arguments.first)
        let hasLibrary =
            ["eval", "import", "rm", "bench", "tune", "calibrate"].contains(arguments.first)
            && !isRemote
        let ending = try Program.sluice.runLimited(
            words + (hasLibrary ? ["--library", scratch.path("library")] : []), in: scratch)
        #expect(ending.status == status, "\(ending.errors)")
        #expect(ending.errors.contains(message), "\(ending.errors)")
        let complaint = ending.errorLines.filter { !$0.contains("imported") }
        if status != 0 && status != 64 { #expect(complaint.count == 1, "\(ending.errors)") }
    }

    /// From the import to an answer, for a model whose neurons never stay silent by themselves.
    @Test func sparsityIsCalibratedAndAskedForByName() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.path("library")]
        func run(_ words: [String]) throws -> Ending {
            try Program.sluice.runLimited(words + library, in: scratch)
        }
        let source = "\(Repository.fixtures)/models/llama-q8_0.gguf"
        #expect(try run(["import", source, "--neurons", "bundled"]).status == 0)
        let words = ["eval", "llama-q8_0", "--tokens", "1,2,3", "--activation-sparsity", "0.5"]
        #expect(try run(words).errors.contains("run sluice calibrate"))
        let calibration = try run(["calibrate", "llama-q8_0", "--text", Self.longText])
        #expect(calibration.status == 0, "\(calibration.errors)")
        for word in ["--activation-sparsity", "off", "90.0 %", ".sluice.thresholds"] {
            #expect(calibration.output.contains(word), "\(calibration.output)")
        }
        let ending = try run(words)
        #expect(ending.status == 0 && ending.errors.contains("sparsity 0.5, lossy"))
        let shown = try run(["show", "llama-q8_0", "--activation-sparsity", "0.5"])
        #expect(shown.output.contains("sparsity 0.5, lossy"), "\(shown.output)")
        #expect(try run(["rm", "llama-q8_0"]).status == 0)
        #expect(try FileSystem.names(in: scratch.path("library")).isEmpty)
    }

    /// `NAME:latest` is NAME; of several models that are to go, those there are do.
    @Test func namesHaveOneFormAndRemovingGoesOn() throws {
        let scratch = try Scratch()
        let library = ["--library", scratch.path("library")]
        func run(_ words: [String]) throws -> Ending {
            try Program.sluice.run(words + library, in: scratch)
        }
        #expect(try run(["import", Self.tiny, "--name", "one:latest"]).status == 0)
        #expect(try run(["import", Self.tiny, "--name", "one"]).status != 0)
        #expect(try run(["import", Self.tiny, "--name", "two"]).status == 0)
        #expect(try run(["ls"]).output.contains("one "))
        let ending = try run(["rm", "one", "nobody", "two"])
        #expect(ending.status == 66 && ending.errorLines.count == 1, "\(ending.errors)")
        #expect(ending.errors.contains("no model 'nobody'"), "\(ending.errors)")
        #expect(try FileSystem.names(in: scratch.path("library")).isEmpty)
    }

    @Test func modelIsPackedOnFirstUseAndAgainWhenItChanges() throws {
        let scratch = try Scratch()
        let source = try scratch.write(try #require(fileBytes(Self.tiny)), to: "model.gguf")
        let arguments = [
            "eval", source, "--tokens", "1,2,3", "--json", "--library", scratch.path("library")
        ]
        let first = try Program.sluice.run(arguments, in: scratch)
        #expect(first.status == 0 && first.errors.contains("model: imported"))
        let second = try Program.sluice.run(arguments, in: scratch)
        #expect(second.status == 0 && second.errors.isEmpty && second.output == first.output)
        Thread.sleep(microseconds: 20_000)
        _ = try scratch.write(try #require(fileBytes(Self.tiny)), to: "model.gguf")
        let third = try Program.sluice.run(arguments, in: scratch)
        #expect(third.errors.contains("imported") && third.output == first.output)
    }

    /// A text longer than the context is the mean over its windows.
    @Test func windowsAreScoredFromScratch() throws {
        struct Report: Decodable {
            let tokens: [Int]
            let greedy: [Int]
            let nll: Double
            let logits: [Double]
        }
        let scratch = try Scratch()
        func report(_ tokens: [Int], _ extra: [String] = []) throws -> Report {
            let list = tokens.map { "\($0)" }.joined(separator: ",")
            let ending = try Program.sluice.run(
                ["eval", Self.tiny, "--tokens", list, "--json", "--library", scratch.folder]
                    + extra,
                in: scratch)
            #expect(ending.status == 0, "\(ending.errors)")
            return try JSONDecoder().decode(Report.self, from: Data(ending.output.utf8))
        }
        let tokens = (0..<20).map { $0 * 13 % 250 }
        let whole = try report(tokens, ["--context", "8", "--generate", "2"])
        let parts = try [0..<8, 8..<16, 16..<20].map { try report(Array(tokens[$0])) }
        let sum = zip(parts, [7.0, 7, 3]).reduce(0) { $0 + $1.0.nll * $1.1 }
        #expect(abs(whole.nll - sum / 17) < 1e-6)
        #expect(whole.tokens == tokens && whole.greedy.count == 2)
        #expect(whole.logits == parts[2].logits)
    }

    @Test func benchmarkReportsWhatScriptsRelyOn() throws {
        let scratch = try Scratch()
        let ending = try Program.sluice.run(
            [
                "bench", Self.tiny, "--prompt", "12", "--generate", "4", "--runs", "2", "--json",
                "--memory", "18M", "--library", scratch.folder
            ], in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        for key in [
            "model", "threads", "memory_limit_bytes", "prompt_tokens", "generated_tokens",
            "prompt_tokens_per_second", "generated_tokens_per_second",
            "time_to_first_token_seconds", "flash_bytes_per_generated_token",
            "flash_bytes_per_second", "bundle_hit_rate", "flash_limit_tokens_per_second",
            "memory_limit_tokens_per_second", "seconds", "flash_wait", "compute", "other",
            "peak_resident_bytes", "budget", "milliseconds_per_token", "limit_tokens_per_second",
            "flash_fraction", "limit_fraction", "drive", "queue_depth", "read_bytes_max"
        ] {
            #expect(ending.output.contains("\"\(key)\":"), "\(key)")
        }
        #expect(ending.output.hasPrefix("{") && ending.output.hasSuffix("}\n"))
    }

    @Test func flippedBytesAreFoundAndNamed() throws {
        let scratch = try Scratch()
        let imported = try Program.sluice.run(
            ["import", Self.tiny, "--library", scratch.folder, "--name", "m"], in: scratch)
        #expect(imported.status == 0)
        let bytes = try #require(fileBytes(scratch.path("m.sluice")))
        // The middle is among the matrices, the last tenth among the experts.
        for place in [bytes.count / 3, bytes.count * 2 / 3] {
            var damaged = bytes
            damaged[place] ^= 1
            let path = try scratch.write(damaged, to: "damaged.sluice")
            let checked = try Program.sluice.run(["show", path, "--check"], in: scratch)
            let used = try Program.sluice.run(
                ["eval", path, "--tokens", (0..<60).map { "\($0)" }.joined(separator: ",")],
                in: scratch)
            for ending in [checked, used] where ending.status != 0 {
                #expect(ending.status == 65 && ending.errorLines.count == 1, "\(ending.errors)")
                #expect(ending.errors.contains("damaged.sluice at byte"), "\(ending.errors)")
            }
            #expect(checked.status == 65)
        }
    }

    @Test func tokenizesWithAVocabularyAlone() throws {
        let scratch = try Scratch()
        let ending = try Program.sluice.run(
            [
                "tokenize", "\(Repository.fixtures)/gguf/vocabulary-bpe.gguf", "--text", "hello",
                "--json"
            ], in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(ending.output.hasPrefix("{\"tokens\":["))
        let text = try scratch.write(Array("hello".utf8), to: "hello")
        let piped = try Program.sluice.run(
            ["tokenize", "\(Repository.fixtures)/gguf/vocabulary-bpe.gguf", "--json"],
            in: scratch, input: text)
        #expect(piped.status == 0 && piped.output == ending.output, "\(piped.errors)")
    }

    @Test func localRunAnswersFromAnywhere() throws {
        let scratch = try Scratch()
        let common = [
            "run", "--local", "--library", scratch.folder, "--memory", "26M", Repository.model
        ]
        func run(_ extra: [String], input: String = "/dev/null") throws -> Ending {
            try Program.sluice.run(common + extra, in: scratch, input: input)
        }
        let answer = try run(["What is curl?", "--temperature", "0"])
        #expect(answer.status == 0 && answer.output.contains("server"), "\(answer.errors)")
        let question = try scratch.write(Array("What is curl?\n".utf8), to: "question")
        #expect(try run(["--temperature", "0"], input: question).output == answer.output)
        let short = try run(["What is curl?", "--temperature", "0", "--max-tokens", "3"])
        #expect(answer.output.hasPrefix(short.output.dropLast()))
        let stopped = try run(["What is curl?", "--temperature", "0", "--stop", "server"])
        #expect(!stopped.output.contains("server") && stopped.status == 0)
        let drawn = try (0..<2).map { _ in
            try run(["What is tar?", "--temperature", "1", "--seed", "5"]).output
        }
        #expect(drawn[0] == drawn[1] && !drawn[0].isEmpty)
    }
}
