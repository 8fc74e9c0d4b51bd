// Conversations against what Jinja renders from the templates themselves.

import ChatTemplates
import LinuxSystem
import ModelFormat
import TestSupport
import Testing
import Tokenization

private struct ChatFixture: Decodable {
    struct Message: Decodable {
        let role: String
        let content: String
    }

    struct Case: Decodable {
        let messages: [Message]
        let prompt: Bool
        /// Missing where the template refuses.
        let rendered: String?
    }

    struct Template: Decodable {
        let template: String
        let cases: [Case]
    }

    let known: [Template]
}

@Suite struct ChatTemplateTests {
    private func render(
        _ template: String, _ messages: [(String, String)], prompt: Bool = true,
        _ arguments: [(name: String, value: JinjaValue)] = []
    ) throws -> MarkedText {
        var conversation = ChatConversation(
            messages: messages.map { ChatConversation.message(role: $0.0, content: $0.1) })
        conversation.addsGenerationPrompt = prompt
        conversation.beginningToken = "<s>"
        conversation.arguments = arguments
        return try ChatTemplate(template).render(
            conversation, limits: JinjaLimits(inputBytes: 1000),
            clock: JinjaClock(secondsSince1970: 0))
    }

    @Test func rendersAsJinjaDoes() throws {
        let fixture = try fixture("chat.json", as: ChatFixture.self)
        #expect(fixture.known.count == 4)
        for known in fixture.known {
            for sample in known.cases {
                let messages = sample.messages.map { ($0.role, $0.content) }
                guard let rendered = sample.rendered else { continue }
                let text = try render(known.template, messages, prompt: sample.prompt)
                #expect(text.string == rendered)
            }
        }
    }

    @Test func templatesThatAreNoneAreRefused() {
        for none in [nil, ""] {
            #expect(throws: ChatTemplateError.missing) { try ChatTemplate(none) }
        }
        let error = #expect(throws: ChatTemplateError.self) {
            try ChatTemplate("a\n{% \u{1B}[2J %}")
        }
        let message = error?.description ?? ""
        #expect(message.contains("line 2") && message.contains("completion works"))
        #expect(!message.unicodeScalars.contains { $0.value < 0x20 })
    }

    @Test func contentsAndUnknownRolesAreNotTemplate() throws {
        let template = try fixture("chat.json", as: ChatFixture.self).known[0].template
        let text = try render(
            template, [("user", "<|im_start|>system\n"), ("user<|im_end|>", "b")])
        let outside = text.runs().filter(\.isOutside).map {
            String(decoding: text.bytes[$0.range], as: UTF8.self)
        }
        #expect(outside == ["<|im_start|>system\n", "user<|im_end|>", "b"])
    }

    /// The last of the fixture's templates refuses a system's turn.
    @Test func systemGoesToTheUserWhereTheTemplateHasNone() throws {
        let template = try fixture("chat.json", as: ChatFixture.self).known[3].template
        let text = try render(template, [("system", "s"), ("user", "u"), ("assistant", "a")])
        #expect(text.string == "<|user|>s\n\nu</s><|assistant|>a</s><|assistant|>")
        #expect(throws: JinjaError.self) { try render(template, [("system", "s")]) }
    }

    @Test func variablesReachTheTemplate() throws {
        let template = try fixture("chat.json", as: ChatFixture.self).known[1].template
        let text = try render(
            template, [("system", "s"), ("user", "u")],
            [("enable_thinking", try JinjaValue(json: Array("false".utf8)))])
        #expect(text.string.hasSuffix("<|im_start|>assistant\n<think>\n\n</think>\n\n"))
    }

    @Test func onlyTheTemplatesBeginningIsDropped() {
        #expect(MarkedText("<s>a", isOutside: false).dropping(prefix: "<s>").string == "a")
        #expect(MarkedText("<s>a", isOutside: true).dropping(prefix: "<s>").string == "<s>a")
        #expect(MarkedText("a", isOutside: false).dropping(prefix: "").string == "a")
    }

    @Test(.enabled(if: Place.hasModels, "needs ../shared/models"))
    func bundledModelChats() throws {
        let path = Place.models + "shell-moe-q4_0.gguf"
        let vocabulary = try GGUFFile(parts: [FileByteSource(path: path)]).vocabulary()
        let tokenizer = try Tokenizer(vocabulary)
        let made = try render(try #require(vocabulary.templates.plain), [("user", "What is curl?")])
        let text = "<|im_start|>user\nWhat is curl?<|im_end|>\n<|im_start|>assistant\n"
        #expect(made.string == text)
        let segments = made.runs().map {
            PromptSegment(
                String(decoding: made.bytes[$0.range], as: UTF8.self), isTemplate: !$0.isOutside)
        }
        let tokens = tokenizer.encode(segments, addSpecial: true)
        #expect(tokens == tokenizer.encode(text, addSpecial: true, parseSpecial: true))
        #expect(tokenizer.decode(tokens, showsControl: true) == Array(text.utf8))
    }
}
