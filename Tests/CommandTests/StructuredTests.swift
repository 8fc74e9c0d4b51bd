// Answers by JSON Schema and calls that are required, through the built daemon, checked by Python's
// jsonschema (Tests/Clients/structured_client.py).

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct StructuredTests {
    private static let template = """
        {#- <tool_call>{"name", "arguments"} #}{% if tools %}{{ tools | tojson }}{% endif %}
        {%- for m in messages %}{{ m.content }}{% endfor %}<|im_start|>
        """

    /// A Python with these packages; nil where there is none.
    private static func python(with packages: String, in scratch: Scratch) throws -> String? {
        let named = unsafe getenv("SLUICE_CLIENT_PYTHON").map { unsafe String(cString: $0) }
        return try [named, "python3"].compactMap(\.self).first {
            let arguments = [$0, "-c", "import \(packages)"]
            return try Program(path: "/usr/bin/env").run(arguments, in: scratch).status == 0
        }
    }

    private func check(
        _ daemon: Daemon, _ options: [String], script: String = "structured_client.py",
        packages: String = "jsonschema"
    ) throws {
        guard let python = try Self.python(with: packages, in: daemon.scratch) else {
            print("skipped: no Python with \(packages)")
            return
        }
        let script = "\(Repository.folder)/Tests/Clients/\(script)"
        let ending = try Program(path: "/usr/bin/env").run(
            [python, script, daemon.socket] + options, in: daemon.scratch)
        #expect(ending.status == 0, "\(ending.output) \(ending.errors)")
        #expect(daemon.stop() == 0)
    }

    private func noise(_ template: String = template) throws -> Daemon {
        let scratch = try Scratch()
        let file = try scratch.write(NoiseModel(template: template).bytes(), to: "noise.gguf")
        let imported = try Program.sluice.run(
            ["import", file, "--library", scratch.path("library"), "--name", "shell"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        return try Daemon(in: scratch)
    }

    @Test func everyAnswerOfTheBundledModelIsValid() throws {
        try check(try Daemon(), ["--generations", "1"])
    }

    @Test func everyAnswerAndCallOfNoiseIsValid() throws {
        try check(try noise(), ["--generations", "10", "--tools"])
    }

    @Test func officialClientsGetWhatTheyAskFor() throws {
        try check(
            try noise(), ["shell", "--begin", "\(NoiseModel.callToken)"],
            script: "structured_official_client.py",
            packages: "openai, anthropic, pydantic, jsonschema")
    }

    @Test func whatIsNotKeptIsRefusedByName() throws {
        let daemon = try noise()
        func post(_ more: String) throws -> String {
            try daemon.post(
                #"{"model":"shell","messages":[{"role":"user","content":"u"}],\#(more)}"#)
        }
        let schema = #"{"type":"array","uniqueItems":true}"#
        let refused = try post(
            #""response_format":{"type":"json_schema","json_schema":{"schema":\#(schema)}}"#)
        #expect(
            refused.contains(#"response_format: #/uniqueItems: not supported here","type":"#)
                && refused.hasSuffix("\n400"), "\(refused)")
        let recursive = try post(#""grammar":"root ::= root \"a\" | \"b\"""#)
        #expect(recursive.contains("grammar: root: begins with itself"), "\(recursive)")
        let none = #""parameters":{"type":"object","properties":{}}"#
        let tool = #"{"type":"function","function":{"name":"f",\#(none)}}"#
        let both = try post(#""tools":[\#(tool)],"grammar":"root ::= \"a\"""#)
        #expect(both.contains("a grammar does not go together with tools"), "\(both)")
        let forced = try post(
            #""tools":[\#(tool)],"tool_choice":"required","parallel_tool_calls":false"#)
        #expect(forced.contains(#""finish_reason":"tool_calls""#), "\(forced)")
        let strict = #"{"type":"function","function":{"name":"f","strict":true,\#(none)}}"#
        let format =
            #""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":"#
            + #"{"type":"object","properties":{"d":{"type":"integer","maximum":9}},"#
            + #""required":["d"]}}}"#
        var (forms, calls) = (0, 0)
        for seed in 0..<12 {
            let other = try post(
                #""tools":[\#(strict)],\#(format),"seed":\#(seed),"parallel_tool_calls":false"#)
            let isForm = other.contains(#""content":"{"#)
            let isCall = other.contains(#""finish_reason":"tool_calls""#)
            #expect(isForm != isCall, "\(other)")
            forms += isForm ? 1 : 0
            calls += isCall ? 1 : 0
        }
        #expect(forms + calls == 12)
        #expect(daemon.stop() == 0)
    }

    @Test func channelsAreRefusedByName() throws {
        let daemon = try noise(
            """
            {#- <|channel|><|message|> #}{% if tools %}{{ tools | tojson }}{% endif %}
            {%- for m in messages %}{{ m.content }}{% endfor %}
            """)
        let refused = try daemon.post(
            #"{"model":"shell","messages":[{"role":"user","content":"u"}],"#
                + #""response_format":{"type":"json_object"}}"#)
        #expect(
            refused.contains("writes its answers as messages to recipients")
                && refused.hasSuffix("\n400"), "\(refused)")
        let strict = try daemon.post(
            #"{"model":"shell","messages":[{"role":"user","content":"u"}],"#
                + #""tools":[{"type":"function","function":{"name":"f","strict":true}}]}"#)
        #expect(
            strict.contains("tools: strict: true is not supported for this model")
                && strict.hasSuffix("\n400"), "\(strict)")
        #expect(daemon.stop() == 0)
    }

    @Test func thoughtsComeBeforeTheAnswer() throws {
        let daemon = try noise(
            "{#- <think></think> #}{% for m in messages %}{{ m.content }}{% endfor %}<think>")
        let answer = try daemon.post(
            #"{"model":"shell","messages":[{"role":"user","content":"u"}],"temperature":2,"#
                + #""max_tokens":200,"grammar":"root ::= \"yes\"","seed":4}"#)
        // Noise hardly ever stops thinking.
        let isCut = answer.contains(#""finish_reason":"length""#)
        #expect(isCut || answer.contains(#""content":"yes""#), "\(answer)")
        #expect(answer.contains("reasoning_content"), "\(answer)")
        #expect(daemon.stop() == 0)
    }
}
