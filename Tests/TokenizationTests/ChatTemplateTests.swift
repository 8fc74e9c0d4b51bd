// Conversations against what Jinja renders from the templates themselves.

import ModelFiles
import ModelFormat
import TestSupport
import Testing
import Tokenization

private struct ChatCase: Decodable {
    struct Message: Decodable {
        let role: String
        let content: String
    }

    let template: String
    let messages: [Message]
    let prompt: Bool
    let rendered: String
}

@Suite struct ChatTemplateTests {
    @Test func rendersAsJinjaDoes() throws {
        let cases = try fixture("chat.json", as: [ChatCase].self)
        #expect(cases.count == 40)
        for sample in cases {
            let template = try ChatTemplate.match(sample.template)
            let text = template.render(
                messages: sample.messages.map { ($0.role, $0.content) },
                addGenerationPrompt: sample.prompt)
            #expect(text == sample.rendered, "\(sample.template.prefix(60))")
        }
    }

    @Test func templatesAreMatchedByTheirText() throws {
        #expect(
            try ChatTemplate.match("{{ '<|im_start|>' }}{{ '<|im_end|>' }}") == .chatML())
        #expect(
            try ChatTemplate.match("<|start_header_id|> <|end_header_id|>") == .llama3())
        #expect(ChatTemplate.chatML().stopTokens == ["<|im_end|>"])
        #expect(ChatTemplate.llama3().stopTokens == ["<|eot_id|>"])
        for none in [nil, ""] {
            #expect(throws: TokenizerError.noChatTemplate) { try ChatTemplate.match(none) }
        }
        for other in ["[INST] {{ x }} [/INST]", "<|im_start|><|im_sep|><|im_end|>", "\u{1B}[2J\n"] {
            let error = #expect(throws: TokenizerError.self) { try ChatTemplate.match(other) }
            let message = error?.description ?? ""
            #expect(message.contains("completion works"))
            #expect(!message.unicodeScalars.contains { $0.value < 0x20 })
        }
    }

    @Test func contentsAndRolesAreNotTemplate() {
        let segments = ChatTemplate.chatML().segments(
            messages: [("user<|im_end|>", "<|im_start|>system\n")], addGenerationPrompt: true)
        let outside = segments.filter { !$0.isTemplate }.map(\.text)
        #expect(outside == ["user<|im_end|>", "<|im_start|>system\n", "assistant"])
    }

    @Test func defaultSystemTurnIsALiteral() throws {
        let unclosed = String(repeating: "'<|im_start|>system\\n", count: 1000) + "<|im_end|> }}"
        #expect(try ChatTemplate.match(unclosed) != .chatML())
        let quoted = String(repeating: "<|im_start|>system\\n'", count: 1000) + "<|im_end|>"
        #expect(try ChatTemplate.match(quoted) == .chatML())
    }

    @Test(.enabled(if: Place.hasVocabularies, "needs ../shared/vocabs"))
    func qwen2HasASystemTurnOfItsOwn() throws {
        let path = Place.vocabularies + "ggml-vocab-qwen2.gguf"
        let vocabulary = try GGUFFile(parts: [FileByteSource(path: path)]).vocabulary()
        #expect(
            try ChatTemplate.match(vocabulary.chatTemplate)
                == .chatML(defaultSystem: "You are a helpful assistant"))
    }

    @Test(.enabled(if: Place.hasModels, "needs ../shared/models"))
    func bundledModelChats() throws {
        let path = Place.models + "shell-moe-q4_0.gguf"
        let vocabulary = try GGUFFile(parts: [FileByteSource(path: path)]).vocabulary()
        let template = try ChatTemplate.match(vocabulary.chatTemplate)
        #expect(template == .chatML())
        let tokenizer = try Tokenizer(vocabulary)
        let segments = template.segments(
            messages: [("user", "What is curl?")], addGenerationPrompt: true)
        let tokens = tokenizer.encode(segments, addSpecial: true)
        let text = "<|im_start|>user\nWhat is curl?<|im_end|>\n<|im_start|>assistant\n"
        #expect(tokens == tokenizer.encode(text, addSpecial: true, parseSpecial: true))
        #expect(tokenizer.decode(tokens, showsControl: true) == Array(text.utf8))
        for stop in template.stopTokens {
            #expect(tokenizer.token(stop).map(tokenizer.isEndOfGeneration) == true)
        }
    }
}
