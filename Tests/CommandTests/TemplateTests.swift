// The built client prints what a chat template makes of a conversation.

import FoundationEssentials
import TestSupport
import Testing

@Suite struct TemplateTests {
    private static let template =
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
        + "{% if tools %}{{ tools | tojson }}{% endif %}"
        + "{% if add_generation_prompt %}[assistant]{% endif %}"
        + "{% if enable_thinking is false %}<none>{% endif %}{{ effort }}"

    private func run(
        _ arguments: [String], _ messages: String, template: String = template
    ) throws -> Ending {
        let scratch = try Scratch()
        let file = try scratch.write(Array(template.utf8), to: "template.jinja")
        let input = try scratch.write(Array(messages.utf8), to: "messages.json")
        let tools = try scratch.write(Array(#"[{"b": 1, "a": "x"}]"#.utf8), to: "tools.json")
        return try Program.sluice.run(
            ["template", "--file", file] + arguments.map { $0 == "TOOLS" ? tools : $0 },
            in: scratch, input: input)
    }

    private static let messages = #"[{"role": "user", "content": "a"}]"#

    @Test func printsThePrompt() throws {
        let plain = try run([], Self.messages)
        #expect(plain.status == 0 && plain.output == "[user]a\n[assistant]", "\(plain.errors)")
        let all = try run(
            [
                "--tools", "TOOLS", "--no-generation-prompt", "--set", "bos_token=<s>", "--set",
                "enable_thinking=false", "--set", "effort=high"
            ], Self.messages)
        #expect(
            all.output == "<s>[user]a\n[{\"b\": 1, \"a\": \"x\"}]<none>high", "\(all.errors)")
        let time = try run(
            ["--time", "0"], Self.messages, template: "{{ strftime_now('%Y-%m-%d') }}")
        #expect(time.output == "1970-01-01", "\(time.errors)")
    }

    @Test func printsTheModelsOwn() throws {
        let scratch = try Scratch()
        let input = try scratch.write(Array(Self.messages.utf8), to: "messages.json")
        let ending = try Program.sluice.run(
            ["template", Repository.model, "--messages", input], in: scratch)
        #expect(
            ending.output == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n",
            "\(ending.errors)")
    }

    /// Out of the GGUF file and out of what was packed of it.
    @Test func modelsTemplateForTools() throws {
        let scratch = try Scratch()
        let model = VocabularyModel(
            contextTokens: 64, toolTemplate: "{{ tools | tojson }}{{ messages[0].content }}")
        let source = try scratch.write(
            model.bytes(source: Repository.fixtures + "/gguf/vocabulary-bpe.gguf"), to: "m.gguf")
        let input = try scratch.write(Array(Self.messages.utf8), to: "messages.json")
        let tools = try scratch.write(Array(#"[{"b": 1, "a": "x"}]"#.utf8), to: "tools.json")
        let none = try scratch.write(Array("[]".utf8), to: "none.json")
        let made = try Program.sluice.run(
            ["import", source, "--library", scratch.folder, "--name", "m"], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        for file in [source, scratch.folder + "/m.sluice"] {
            let arguments = ["template", file, "--messages", input]
            let ending = try Program.sluice.run(arguments + ["--tools", tools], in: scratch)
            #expect(ending.output == "[{\"b\": 1, \"a\": \"x\"}]a", "\(ending.errors)")
            let plain = try Program.sluice.run(arguments, in: scratch)
            let empty = try Program.sluice.run(arguments + ["--tools", none], in: scratch)
            #expect(plain.status == 0 && !plain.output.hasPrefix("["), "\(plain.errors)")
            #expect(empty.output == plain.output, "\(empty.errors)")
        }
    }

    @Test func modelsTemplateByName() throws {
        let scratch = try Scratch()
        let model = VocabularyModel(
            contextTokens: 64,
            ragTemplate: "{# <think></think> #}R{{ documents | tojson }}{{ messages[0].content }}")
        let source = try scratch.write(
            model.bytes(source: Repository.fixtures + "/gguf/vocabulary-bpe.gguf"), to: "m.gguf")
        let input = try scratch.write(Array(Self.messages.utf8), to: "messages.json")
        let library = ["--library", scratch.folder]
        let made = try Program.sluice.run(["import", source, "--name", "m"] + library, in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        let documents = #"documents=[{"b": 1, "a": {"z": 2, "y": 3}}]"#
        for file in [source, scratch.folder + "/m.sluice"] {
            let arguments = ["template", file, "--messages", input, "--set", documents, "--name"]
            let ending = try Program.sluice.run(arguments + ["rag"], in: scratch)
            #expect(
                ending.output == #"R[{"b": 1, "a": {"z": 2, "y": 3}}]a"#, "\(ending.errors)")
            let other = try Program.sluice.run(arguments + ["other"], in: scratch)
            #expect(
                other.status == 64 && other.errors.contains("the model has 'default', 'rag'"),
                "\(other.errors)")
        }
        let shown = try Program.sluice.run(
            ["show", "m", "--memory", "60M"] + library, in: scratch)
        #expect(
            shown.output.contains("chat templates      default rag\n"), "\(shown.errors)")
        // By one of them answers are taken apart, which has a place in the budget.
        #expect(shown.output.contains("\nanswers             0.2 MiB\n"), "\(shown.output)")
    }

    @Test(arguments: [
        ("{{ messages.x.y }}", "[]", 65, "line 1, column 14"),
        ("\n{% if %}", "[]", 65, "line 2"), ("{{ raise_exception('no') }}", "[]", 65, "no"),
        ("a", "{", 64, "invalid JSON"), ("a", "{}", 64, "expected a list")
    ])
    func refusesInOneLine(template: String, messages: String, status: Int32, part: String) throws {
        let ending = try run([], messages, template: template)
        #expect(ending.status == status && ending.errors.contains(part), "\(ending.errors)")
    }
}
