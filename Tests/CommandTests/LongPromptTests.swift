// The built daemon before prompts of 1.9 MB that nothing divides, under every tokenizer there is:
// each is refused for its length within the memory that the daemon was given.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct LongPromptTests {
    private static let memoryBytes = 64 << 20
    private static let textBytes = 1_900_000
    /// As JSON writes them.
    private static let kinds = ["a", " ", "\\n", "🧑🏽‍🚒"]
    /// More than the fewest tokens that such texts may have where tokens are long: they have to be
    /// looked at.
    private static let contextTokens = 16_384
    /// A name for each way of splitting words.
    private static let preTokenizers = [
        "default", "gpt-2", "smollm", "falcon", "llama-bpe", "qwen2", "qwen35", "tekken", "gpt-4o",
        "deepseek-llm", "deepseek-coder", "deepseek-v3"
    ]

    @Test func committedVocabulariesRefuseThem() throws {
        let scratch = try Scratch()
        var models: [String: String] = [:]
        let folder = Repository.fixtures + "/gguf/"
        for name in Self.preTokenizers {
            models["bpe-" + name] = try Self.model(
                folder + "vocabulary-bpe.gguf", "bpe-" + name, preTokenizer: name, in: scratch)
        }
        models["spm"] = try Self.model(folder + "vocabulary-spm.gguf", "spm", in: scratch)
        models["shell"] = try Self.model(Repository.model, "shell", in: scratch)
        try Self.refuseLongPrompts(models)
    }

    @Test(.enabled(if: !sharedVocabularies.isEmpty, "no ../shared/vocabs"))
    func wellKnownVocabulariesRefuseThem() throws {
        let scratch = try Scratch()
        var models: [String: String] = [:]
        for path in Self.sharedVocabularies {
            let name = String(FileSystem.name(of: path).dropLast(".gguf".count))
            models[name] = try Self.model(path, name, in: scratch)
        }
        try Self.refuseLongPrompts(models)
    }

    /// Many short messages are as long as one that is long.
    @Test func manyMessagesAreRefused() throws {
        let scratch = try Scratch()
        let model = try Self.model(Repository.model, "shell", in: scratch)
        let daemon = try ServedModel(
            memory: "\(Self.memoryBytes)", models: ["shell": model],
            profile: "[generation]\ncontext_tokens = 4096\n")
        // As many as there may be values in a body of this length.
        let message = #"{"role":"user","content":"a"}"#
        let messages = String(repeating: message + ",", count: 8000) + message
        let answer = try daemon.answer(
            #""model":"shell","messages":[\#(messages)]"#, to: "/v1/chat/completions")
        #expect(Self.isRefusal(answer), "\(answer.prefix(400))")
        #expect(try daemon.memory("VmHWM") <= Self.memoryBytes)
        #expect(daemon.stop() == 0)
    }

    private static func refuseLongPrompts(_ models: [String: String]) throws {
        let daemon = try ServedModel(
            memory: "\(memoryBytes)", models: models,
            profile: "[generation]\ncontext_tokens = \(contextTokens)\n")
        for name in models.keys.sorted() {
            for kind in kinds {
                let text = String(repeating: kind, count: textBytes / kind.utf8.count)
                let chat = #""messages":[{"role":"user","content":"\#(text)"}]"#
                for (fields, route) in [
                    (#""prompt":"\#(text)""#, "/v1/completions"), (chat, "/v1/chat/completions")
                ] {
                    let answer = try daemon.answer(#""model":"\#(name)",\#(fields)"#, to: route)
                    #expect(isRefusal(answer), "\(name), \(kind): \(answer.prefix(400))")
                }
            }
            let peak = try daemon.memory("VmHWM")
            print("\(name): at most \(peak >> 10) KiB were resident")
            #expect(peak <= memoryBytes, "\(name)")
        }
        #expect(daemon.stop() == 0)
    }

    private static func isRefusal(_ answer: String) -> Bool {
        answer.hasPrefix("HTTP/1.1 400 ") && answer.contains(#""context_length_exceeded""#)
    }

    private static func model(
        _ source: String, _ name: String, preTokenizer: String? = nil, in scratch: Scratch
    ) throws -> String {
        let model = VocabularyModel(contextTokens: contextTokens, preTokenizer: preTokenizer)
        return try scratch.write(try model.bytes(source: source), to: name + ".gguf")
    }

    private static var sharedVocabularies: [String] {
        let folder = Repository.folder + "/../shared/vocabs"
        let names = (try? FileSystem.names(in: folder)) ?? []
        return names.filter { $0.hasSuffix(".gguf") }.sorted().map { "\(folder)/\($0)" }
    }
}
