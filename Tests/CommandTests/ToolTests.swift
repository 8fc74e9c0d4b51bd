// Tools through the built daemon: a model that thinks, speaks and calls, token by token, and what
// its client is told.

import FoundationEssentials
import TestSupport
import Testing

@Suite(.serialized) struct ToolTests {
    private static let model = ScriptedModel(
        chains: [
            [
                "<go>", "<think>", "Hm.", "</think>", "\n\nI look.", "<tool_call>",
                "\n{\"name\": \"get_weather\",", " \"arguments\": {\"city\":", " \"Paris\"}}\n",
                "</tool_call>"
            ],
            ["<done>", "Sunny."]
        ],
        template: """
            {#- <tool_call>{"name", "arguments"} <think> #}{% if tools %}<tools>{% endif %}
            {%- for m in messages %}{% if m.tool_calls %}<called>{% else %}<said>{% endif %}
            {%- endfor %}
            {%- if messages[-1].role == 'tool' %}<done>{% else %}<go>{% endif %}
            """,
        more: ["<tools>", "<called>", "<said>"])
    private static let question = #"{"role":"user","content":"How is the weather?"}"#
    private static let tools = #""tools":[{"type":"function","function":{"name":"get_weather"}}]"#

    private func daemon() throws -> Daemon {
        let scratch = try Scratch()
        let file = try scratch.write(Self.model.bytes(), to: "scripted.gguf")
        let imported = try Program.sluice.run(
            ["import", file, "--library", scratch.path("library"), "--name", "shell"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        return try Daemon(in: scratch)
    }

    private static func body(_ messages: String, _ more: String = tools) -> String {
        #"{"model":"shell","temperature":0,"messages":[\#(messages)],\#(more)}"#
    }

    @Test func aModelCallsAndIsToldWhatCameOfIt() throws {
        let daemon = try daemon()
        let whole = try daemon.post(Self.body(Self.question))
        #expect(whole.hasSuffix("\n200"), "\(whole)")
        for part in [
            #""content":"I look.","reasoning_content":"Hm.","tool_calls":[{"id":"call_"#,
            #""name":"get_weather","arguments":"{\"city\": \"Paris\"}""#,
            #""finish_reason":"tool_calls""#, #""completion_tokens":9"#
        ] {
            #expect(whole.contains(part), "\(part): \(whole)")
        }
        let stream = try daemon.post(Self.body(Self.question, Self.tools + #","stream":true"#))
        for part in [
            #""delta":{"reasoning_content":"Hm."}"#, #""delta":{"content":"I look."}"#,
            #""function":{"name":"get_weather","arguments":""}"#,
            #"{"index":0,"function":{"arguments":" \"Paris\"}"}}"#,
            #""finish_reason":"tool_calls""#
        ] {
            #expect(stream.contains(part), "\(part): \(stream)")
        }
        let call =
            #"{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","#
            + #""function":{"name":"get_weather","arguments":"{}"}}]}"#
        let result = #"{"role":"tool","tool_call_id":"x","content":"21 degrees"}"#
        let conversation = [Self.question, call, result].joined(separator: ",")
        let answer = try daemon.post(Self.body(conversation))
        #expect(answer.contains(#""content":"Sunny.""#), "\(answer)")
        #expect(answer.contains(#""finish_reason":"stop""#) && answer.hasSuffix("\n200"))
        let prompt = try daemon.post(Self.body(conversation), to: "/apply-template")
        #expect(prompt == "{\"prompt\":\"<tools><said><called><said><done>\"}\n200")
        #expect(daemon.stop() == 0)
    }

    @Test func ollamasClientsSeeTheSame() throws {
        let daemon = try daemon()
        func chat(_ messages: String, _ more: String) throws -> String {
            let body =
                #"{"model":"shell:latest","messages":[\#(messages)],\#(Self.tools),\#(more)}"#
            return try daemon.post(body, to: "/api/chat")
        }
        let greedy = #""options":{"temperature":0}"#
        let called = #""function":{"index":0,"name":"get_weather","arguments":{"city": "Paris"}}}]"#
        let whole = try chat(Self.question, greedy + #","stream":false"#)
        let message = #""message":{"role":"assistant","content":"I look.","thinking":"Hm.""#
        for part in [message, called, #""done_reason":"stop""#, #""eval_count":9"#] {
            #expect(whole.contains(part), "\(part): \(whole)")
        }
        let stream = try chat(Self.question, greedy)
        for part in [
            #""content":"","thinking":"Hm."},"sluice":{"expected":"#, #""content":"I look."}"#,
            called
        ] {
            #expect(stream.contains(part), "\(part): \(stream)")
        }
        let short = #""stream":false,"options":{"temperature":0,"num_predict":7}"#
        let half = try chat(Self.question, short)
        #expect(half.contains(#""done_reason":"length""#) && !half.contains("tool_calls"))
        let call =
            #"{"role":"assistant","tool_calls":[{"function":{"name":"get_weather","#
            + #""arguments":{"city":"Paris"}}}]}"#
        let result = #"{"role":"tool","tool_name":"get_weather","content":"21 degrees"}"#
        let answer = try chat(
            [Self.question, call, result].joined(separator: ","), greedy + #","stream":false"#)
        #expect(answer.contains(#""content":"Sunny.""#), "\(answer)")
        let show = try daemon.post(#"{"model":"shell"}"#, to: "/api/show")
        #expect(
            show.contains(#""capabilities":["completion","tools","thinking"],"template":"{#- <"#),
            "\(show)")
        let client = try RawClient(daemon.socket)
        try client.send("GET /props HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let properties = client.read(until: nil)
        for part in [#""chat_template":"{#- <tool_call>"#, #""eos_token":"<"#, #""total_slots":"#] {
            #expect(properties.contains(part), "\(part): \(properties)")
        }
        #expect(daemon.stop() == 0)
    }

    @Test func anthropicsClientsSeeTheSame() throws {
        let daemon = try daemon()
        let tools = #""tools":[{"name":"get_weather","input_schema":{"type":"object"}}]"#
        func ask(_ messages: String, _ more: String, to route: String = "") throws -> String {
            let body = #"{"model":"shell","messages":[\#(messages)],\#(tools),\#(more)}"#
            return try daemon.post(body, to: "/v1/messages" + route)
        }
        let greedy = #""temperature":0,"max_tokens":99"#
        let whole = try ask(Self.question, greedy)
        for part in [
            #""content":[{"type":"thinking","thinking":"Hm.","signature":""},"#,
            #"{"type":"text","text":"I look."},{"type":"tool_use","id":"call_"#,
            #""name":"get_weather","input":{"city": "Paris"}}],"stop_reason":"tool_use""#
        ] {
            #expect(whole.contains(part), "\(part): \(whole)")
        }
        let stream = try ask(Self.question, greedy + #","stream":true"#)
        for part in [
            #"{"type":"thinking_delta","thinking":"Hm."}"#, #"{"type":"text_delta","text":"I "#,
            #"{"type":"input_json_delta","partial_json":" \"Paris\"}"}"#, "event: message_stop\n"
        ] {
            #expect(stream.contains(part), "\(part): \(stream)")
        }
        let stopped = try ask(Self.question, greedy + #","stop_sequences":["look"]"#)
        #expect(stopped.contains(#""text":"I "}],"stop_reason":"stop_sequence","#), "\(stopped)")
        #expect(stopped.contains(#""stop_sequence":"look""#), "\(stopped)")
        let half = try ask(Self.question, #""temperature":0,"max_tokens":7"#)
        #expect(half.contains(#""text":"I look."}],"stop_reason":"max_tokens""#), "\(half)")
        let call =
            #"{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"get_weather","#
            + #""input":{"city":"Paris"}}]}"#
        let result =
            #"{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","#
            + #""content":"21 degrees"}]}"#
        let conversation = [Self.question, call, result].joined(separator: ",")
        let answer = try ask(conversation, greedy)
        #expect(answer.contains(#"[{"type":"text","text":"Sunny."}]"#), "\(answer)")
        // <tools>, <said>, <called>, <said>, <done>.
        let count = try ask(conversation, greedy, to: "/count_tokens")
        #expect(count == "{\"input_tokens\":5}\n200", "\(count)")
        #expect(daemon.stop() == 0)
    }

    @Test func whatIsNoCallIsText() throws {
        let daemon = try daemon()
        let plain = try daemon.post(Self.body(Self.question, #""tools":[]"#))
        let content = #""content":"I look.\n{\"name\": \"get_weather\", \"arguments\""#
        #expect(plain.contains(content) && plain.contains(#""finish_reason":"stop""#), "\(plain)")
        let short = try daemon.post(Self.body(Self.question, Self.tools + #","max_tokens":7"#))
        #expect(short.contains(#""arguments":"{\"city\":""#), "\(short)")
        #expect(short.contains(#""finish_reason":"length""#), "\(short)")
        let half = try daemon.post(Self.body(Self.question, Self.tools + #","max_tokens":5"#))
        #expect(half.contains(#""content":"I look.","reasoning_content":"Hm.","refusal""#))
        #expect(daemon.stop() == 0)
    }

    /// Standard output has the answer alone.
    @Test func thoughtsAreOnStandardError() throws {
        let daemon = try daemon()
        let shown = try daemon.run("x")
        #expect(shown.status == 0 && shown.output.hasPrefix("I look.\n{"), "\(shown.output)")
        #expect(shown.errors.hasPrefix("[thinking]\nHm.\n[answer]\n"), "\(shown.errors)")
        let hidden = try daemon.start("x", ["--hide-thinking"]).wait()
        #expect(hidden.output == shown.output && hidden.errors.isEmpty, "\(hidden.errors)")
        #expect(daemon.stop() == 0)
    }

    @Test func modelsThatKnowNoToolsRefuseThem() throws {
        let daemon = try Daemon()
        let refused = try daemon.post(Self.body(Self.question))
        #expect(refused.contains(#""param":"tools""#) && refused.hasSuffix("\n400"), "\(refused)")
        let prompt = try daemon.post(Self.body(Self.question, #""n":1"#), to: "/apply-template")
        let expected =
            #"{"prompt":"<|im_start|>user\nHow is the weather?<|im_end|>\n"#
            + #"<|im_start|>assistant\n"}"#
        #expect(prompt == expected + "\n200", "\(prompt)")
        #expect(daemon.stop() == 0)
    }
}
