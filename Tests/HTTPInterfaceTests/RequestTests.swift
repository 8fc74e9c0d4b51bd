// Requests become orders; every complaint names its field.

import GenerationAPI
import HTTPInterface
import Inference
import JSON
import ModelFormat
import Testing

@Suite struct RequestTests {
    private func request(
        _ text: String, _ kind: CompletionKind = .chat
    ) throws -> CompletionRequest {
        var defaults = SamplingParameters()
        defaults.temperature = 0.7
        return try CompletionRequest(
            try JSONParser.parse(Array(text.utf8)), kind: kind, client: ClientID(rawValue: 9),
            defaults: defaults)
    }

    private let hello = #""messages":[{"role":"user","content":"hi"}]"#

    @Test(arguments: [(#""slide""#, FullContext.slide), (#""stop""#, .stop), ("null", nil)])
    func readsWhatHappensWhenTheContextIsFull(text: String, choice: FullContext?) throws {
        let read = try request(#"{\#(hello),"sluice":{"kv_when_full":\#(text)}}"#)
        #expect(read.order.whenFull == choice)
    }

    @Test(arguments: [#""turn""#, "1"]) func refusesOtherWaysToBeFull(text: String) throws {
        #expect(throws: GenerationError.self) {
            try request(#"{\#(hello),"sluice":{"kv_when_full":\#(text)}}"#)
        }
    }

    @Test(arguments: [
        ("512", ColdTokens.most(512)), (#""all""#, .all), ("null", nil)
    ])
    func readsWhatIsReadOfTextsOnFlash(text: String, choice: ColdTokens?) throws {
        let read = try request(#"{\#(hello),"sluice":{"kv_cold_tokens_max":\#(text)}}"#)
        #expect(read.order.coldTokens == choice)
    }

    @Test(arguments: [#""some""#, "0", "-1", "1.5", "99999999", "true"])
    func refusesOtherPartsOfTextsOnFlash(text: String) throws {
        #expect(throws: GenerationError.self) {
            try request(#"{\#(hello),"sluice":{"kv_cold_tokens_max":\#(text)}}"#)
        }
    }

    @Test(arguments: [("0", 0), ("1024", 1024), ("null", nil)])
    func readsHowMuchOfAPromptIsKept(text: String, tokens: Int?) throws {
        let read = try request(#"{\#(hello),"sluice":{"kv_snap_tokens":\#(text)}}"#)
        #expect(read.order.snapTokens == tokens && read.order.gemTokens == nil)
        let other = try request(#"{\#(hello),"sluice":{"kv_gem_tokens":\#(text)}}"#)
        #expect(other.order.gemTokens == tokens && other.order.snapTokens == nil)
    }

    @Test(arguments: ["-1", "1.5", #""all""#, "4194305"])
    func refusesOtherPartsOfAPrompt(text: String) throws {
        for field in ["kv_snap_tokens", "kv_gem_tokens"] {
            #expect(throws: GenerationError.self) {
                try request(#"{\#(hello),"sluice":{"\#(field)":\#(text)}}"#)
            }
        }
    }

    @Test func readsAFullChatRequest() throws {
        let request = try request(
            """
            {"model":"m","messages":[{"role":"developer","content":"be brief"},
             {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
             {"role":"assistant","content":""}],
             "max_completion_tokens":7,"max_tokens":9,"temperature":0,"top_p":0.5,"top_k":-1,
             "min_p":0.1,"seed":-2,"presence_penalty":1,"frequency_penalty":-1,
             "repeat_penalty":1.1,"stop":["x","y"],"stream":true,"logprobs":true,
             "top_logprobs":3,"stream_options":{"include_usage":true},"user":"u","metadata":{},
             "store":false,"n":1,"tools":[],"response_format":{"type":"text"},"logit_bias":{},
             "sluice":{"statistics":true}}
            """)
        let order = request.order
        #expect(order.model == "m")
        #expect(
            order.prompt
                == .chat([
                    ChatMessage(role: "system", content: "be brief"),
                    ChatMessage(role: "user", content: "ab"),
                    ChatMessage(role: "assistant", content: "")
                ]))
        #expect(order.tokensMax == 7)
        #expect(order.sampling.temperature == 0)
        #expect(order.sampling.topP == 0.5)
        #expect(order.sampling.topK == -1)
        #expect(order.sampling.minP == 0.1)
        #expect(order.sampling.seed == UInt64(bitPattern: -2))
        #expect(order.sampling.presencePenalty == 1)
        #expect(order.sampling.frequencyPenalty == -1)
        #expect(order.sampling.repetitionPenalty == 1.1)
        #expect(order.stopStrings == ["x", "y"])
        #expect(order.alternativesReported == 3)
        #expect(order.client == ClientID(rawValue: 9))
        #expect(request.answer.streams && request.answer.includesUsage)
        #expect(request.answer.includesStatistics && request.answer.includesProbabilities)
    }

    @Test func defaultsAreTheServices() throws {
        let request = try request("{\(hello),\"temperature\":null,\"model\":\"\"}")
        #expect(request.order.sampling.temperature == 0.7)
        #expect(request.order.model == nil)
        #expect(request.order.tokensMax == nil)
        #expect(request.order.alternativesReported == nil)
        #expect(!request.answer.streams)
    }

    @Test func readsEveryFormOfPrompt() throws {
        #expect(try request(#"{"prompt":"a"}"#, .text).order.prompt == .text("a"))
        #expect(try request(#"{"prompt":["a"]}"#, .text).order.prompt == .text("a"))
        let tokens = GenerationOrder.Prompt.tokens([TokenID(1), TokenID(2)])
        #expect(try request(#"{"prompt":[1,2]}"#, .text).order.prompt == tokens)
        #expect(try request(#"{"prompt":[[1,2]],"logprobs":2}"#, .text).order.prompt == tokens)
    }

    @Test(arguments: [
        ("{}", "messages"), (#"{"messages":[]}"#, "messages"), (#"{"messages":1}"#, "messages"),
        (#"{"messages":[1]}"#, "messages[0]"),
        (#"{"messages":[{}]}"#, "messages[0].role"),
        (#"{"messages":[{"role":"user"}]}"#, "messages[0].content"),
        (#"{"messages":[{"role":"x","content":""}]}"#, "messages[0].role"),
        (#"{"messages":[{"role":"tool","content":""}]}"#, "messages[0].tool_call_id"),
        (#"{"messages":[{"role":"function","content":""}]}"#, "messages[0].role"),
        (
            #"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
            "messages[0].content[0].type"
        ),
        (
            #"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content[0].text"
        )
    ])
    func namesTheMessage(_ text: String, _ parameter: String) {
        expectError(text, parameter)
    }

    @Test(arguments: [
        (#""n":0"#, "n"), (#""n":129"#, "n"), (#""n":"1""#, "n"),
        (#""tools":[{}]"#, "tools[0].function"),
        (#""functions":[{}]"#, "functions"), (#""tool_choice":"required""#, "tool_choice"),
        (#""response_format":"text""#, "response_format"),
        (#""logit_bias":{"-5":1}"#, "logit_bias"),
        (#""response_format":{"type":"xml"}"#, "response_format.type"),
        (#""response_format":{"type":"json_schema"}"#, "response_format.schema"),
        (
            #""response_format":{"type":"json_schema","json_schema":{}}"#,
            "response_format.json_schema.schema"
        ),
        (
            #""response_format":{"type":"json_schema","json_schema":{"schema":[]}}"#,
            "response_format.json_schema.schema"
        ),
        (#""grammar":1"#, "grammar"), (#""json_schema":"x""#, "json_schema"),
        (#""grammar":"root ::= .","json_schema":{}"#, "grammar"),
        (#""modalities":["audio"]"#, "modalities"), (#""audio":{}"#, "audio"),
        (#""temperature":-1"#, "temperature"), (#""temperature":1e308"#, "temperature"),
        (#""temperature":"hot""#, "temperature"), (#""top_p":1.5"#, "top_p"),
        (#""top_k":-2"#, "top_k"), (#""top_k":1.5"#, "top_k"), (#""min_p":2"#, "min_p"),
        (#""presence_penalty":101"#, "presence_penalty"),
        (#""frequency_penalty":-101"#, "frequency_penalty"),
        (#""repeat_last_n":-2"#, "repeat_last_n"), (#""repeat_last_n":0.5"#, "repeat_last_n"),
        (#""logit_bias":{"5":true}"#, "logit_bias"), (#""logit_bias":[["a",1]]"#, "logit_bias"),
        (#""logit_bias":[[5]]"#, "logit_bias"), (#""logit_bias":{"5":1e9}"#, "logit_bias"),
        (#""logit_bias":{"5":"x"}"#, "logit_bias"),
        (#""logprobs":false,"top_logprobs":1"#, "top_logprobs"),
        (#""seed":-9223372036854775809"#, "seed"), (#""seed":9223372036854775808.0"#, "seed"),
        (#""seed":1.5"#, "seed"), (#""seed":"1""#, "seed"),
        (#""repeat_penalty":0"#, "repeat_penalty"), (#""seed":1e30"#, "seed"),
        (#""seed":18446744073709551616"#, "seed"), (#""max_tokens":0"#, "max_tokens"),
        (#""max_tokens":-3"#, "max_tokens"), (#""max_tokens":1.5"#, "max_tokens"),
        (#""max_completion_tokens":"5""#, "max_completion_tokens"), (#""stop":1"#, "stop"),
        (#""stop":[1]"#, "stop"), (#""model":5"#, "model"),
        (#""stream":"yes""#, "stream"),
        (#""stream":true,"stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (#""top_logprobs":2"#, "top_logprobs"),
        (
            #""logprobs":true,"top_logprobs":21"#,
            "top_logprobs"
        ),
        (#""logprobs":1"#, "logprobs"), (#""sluice":{"x":1}"#, "sluice.x"),
        (
            #""sluice":1"#,
            "sluice"
        )
    ])
    func namesTheField(_ field: String, _ parameter: String) {
        expectError("{\(hello),\(field)}", parameter)
    }

    @Test(arguments: [
        (#"{}"#, "prompt"), (#"{"prompt":[]}"#, "prompt"), (#"{"prompt":["a",1]}"#, "prompt"),
        (#"{"prompt":[[1],2]}"#, "prompt"), (#"{"prompt":[[]]}"#, "prompt"),
        (#"{"prompt":[-1]}"#, "prompt"), (#"{"prompt":[1.5]}"#, "prompt"),
        (#"{"prompt":[2147483648]}"#, "prompt"), (#"{"prompt":[18446744073709551615]}"#, "prompt"),
        (#"{"prompt":"a","logprobs":true}"#, "logprobs"), (#"{"prompt":5}"#, "prompt"),
        (#"{"prompt":[1],"echo":true}"#, "echo"), (#"{"prompt":"a","best_of":2}"#, "best_of"),
        (#"{"prompt":"a","echo":true,"logprobs":0}"#, "echo"),
        (#"{"prompt":["a","b"],"n":65}"#, "n"), (#"{"prompt":"a","n_probs":21}"#, "n_probs"),
        (#"{"prompt":"a","suffix":"b"}"#, "suffix"), (#"{"prompt":"a","logprobs":21}"#, "logprobs")
    ])
    func namesTheFieldOfPlainCompletion(_ text: String, _ parameter: String) {
        expectError(text, parameter, .text)
    }

    /// 64 bits arrive as they were sent, or not at all.
    @Test(
        arguments: [
            ("0", 0), ("5.0", 5), ("1e3", 1000), ("9223372036854775807", 1 << 63 - 1),
            ("9223372036854775808", 1 << 63), ("18446744073709551615", .max),
            ("18446744073709551614", .max - 1), ("-2", .max - 1),
            ("-9223372036854775808", 1 << 63), ("-1", nil), ("null", nil)
        ] as [(String, UInt64?)])
    func everySeedIsKept(_ text: String, _ seed: UInt64?) throws {
        #expect(try request("{\(hello),\"seed\":\(text)}").order.sampling.seed == seed)
    }

    @Test(
        arguments: [
            ("-1", nil), ("-2", nil), ("5", 5), ("5.0", 5), ("2147483648", 2_147_483_647),
            ("99999999999999999999", 2_147_483_647), ("1e30", 2_147_483_647), ("null", nil)
        ] as [(String, Int?)],
        ["max_tokens", "max_completion_tokens", "n_predict"])
    func longAnswersAreToTheEnd(_ case: (text: String, count: Int?), _ field: String) throws {
        let request = try request("{\(hello),\"\(field)\":\(`case`.text)}")
        #expect(request.order.tokensMax == `case`.count)
    }

    @Test(arguments: ["-5", "0", "-1e30"])
    func noAnswerAtAllCannotBeAskedFor(_ count: String) throws {
        let error = try #require(throws: GenerationError.self) {
            try request("{\(hello),\"max_tokens\":\(count)}")
        }
        #expect(error.message.contains("at least 1, or -1 to the end of the context"))
    }

    @Test(arguments: [("8192", 8192), ("-1", -1), ("0", 0), ("1e30", .max)] as [(String, Int)])
    func everyPenaltyWindowIsTaken(_ text: String, _ window: Int) throws {
        let sampling = try request("{\(hello),\"repeat_last_n\":\(text)}").order.sampling
        #expect(sampling.penaltyWindow == window)
        _ = try Sampler(sampling, vocabularySize: 10, contextTokens: 100)
    }

    /// What asks for nothing is nothing.
    @Test(arguments: [
        #""stop":"""#, #""stop":null"#, #""stop":[]"#, #""stop":["",null]"#, #""logit_bias":{}"#,
        #""logit_bias":{"5":0,"6":0.0}"#, #""logit_bias":[]"#, #""logit_bias":[[5,0]]"#,
        #""stream_options":{}"#, #""stream_options":{"include_usage":true}"#,
        #""stream":false,"stream_options":{"include_usage":false}"#, #""n":1"#, #""n":1.0"#,
        #""tools":[]"#, #""tools":null"#, #""tool_choice":"none""#, #""tool_choice":"auto""#,
        #""functions":[],"function_call":"none""#, #""response_format":{"type":"text"}"#,
        #""response_format":{}"#, #""response_format":null"#,
        #""user":"u","metadata":{"a":"b"},"store":false,"parallel_tool_calls":true"#,
        #""service_tier":"auto","reasoning_effort":"low""#, #""frequency_penalty":0"#,
        #""logprobs":false"#, #""logprobs":null,"top_logprobs":0"#, #""top_k":0"#, #""seed":-1"#
    ])
    func nothingIsNothing(_ field: String) throws {
        let plain = try request("{\(hello)}").order
        let order = try request("{\(hello),\(field)}").order
        #expect(order.stopStrings == [] && order.alternativesReported == nil)
        #expect(order.tokensMax == nil && order.sampling.seed == nil && order.biases.isEmpty)
        #expect(order.prompt == plain.prompt)
    }

    @Test(arguments: [
        #""logprobs":false"#, #""logprobs":null"#, #""best_of":1"#, #""echo":false"#,
        #""suffix":"""#, #""suffix":null"#, #""stop":"""#
    ])
    func nothingIsNothingInPlainCompletion(_ field: String) throws {
        let order = try request("{\"prompt\":\"a\",\(field)}", .text).order
        #expect(order.alternativesReported == nil && order.stopStrings == [])
    }

    @Test func templatesAreNamed() throws {
        func name(_ field: String) throws -> String? {
            try request("{\(hello),\(field)}").order.templateName
        }
        #expect(try name(#""chat_template":"rag""#) == "rag")
        for nothing in ["null", "\"\""] {
            #expect(try name("\"chat_template\":\(nothing)") == nil)
        }
        for wrong in ["1", #""{{ messages }}""#, #""two words""#] {
            expectError("{\(hello),\"chat_template\":\(wrong)}", "chat_template")
        }
    }

    /// Templates print what they are given with its keys in their order.
    @Test func variablesKeepTheirOrder() throws {
        func arguments(_ fields: String) throws -> String? {
            let bytes = Array("{\(hello),\(fields)}".utf8)
            let body = try JSONParser.parse(bytes)
            return try CompletionRequest(
                body, kind: .chat, client: ClientID(rawValue: 1), defaults: SamplingParameters(),
                texts: RequestTexts(body, in: bytes.span)
            ).order.templateArguments
        }
        let given = #"{"z": {"b":1, "a":[2]}, "c":"}"}"#
        #expect(try arguments("\"chat_template_kwargs\": \(given) ") == given)
        #expect(
            try arguments("\"reasoning_effort\":\"low\",\"chat_template_kwargs\":\(given)")
                == given.dropLast() + #","reasoning_effort":"low"}"#)
        #expect(
            try arguments(#""reasoning_effort":"low","chat_template_kwargs": { }"#)
                == #"{"reasoning_effort":"low"}"#)
        #expect(try arguments(#""chat_template_kwargs":null"#) == nil)
    }

    @Test func variablesOfTheTemplateAreTakenOver() throws {
        func arguments(_ fields: String) throws -> String? {
            try request("{\(hello),\(fields)}").order.templateArguments
        }
        #expect(try arguments(#""chat_template_kwargs":{}"#) == nil)
        #expect(
            try arguments(#""chat_template_kwargs":{"enable_thinking":false,"a":[1]}"#)
                == #"{"a":[1],"enable_thinking":false}"#)
        #expect(try arguments(#""reasoning_effort":"low""#) == #"{"reasoning_effort":"low"}"#)
        #expect(
            try arguments(
                #""reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"high"}"#)
                == #"{"reasoning_effort":"high"}"#)
        expectError("{\(hello),\"chat_template_kwargs\":1}", "chat_template_kwargs")
        for name in ["messages", "tools", "bos_token", "eos_token", "add_generation_prompt"] {
            expectError(
                "{\(hello),\"chat_template_kwargs\":{\"\(name)\":1}}",
                "chat_template_kwargs.\(name)")
        }
    }

    /// Histories hold what earlier answers were.
    @Test(arguments: [
        #"{"role":"assistant","content":null}"#, #"{"role":"assistant"}"#,
        #"{"role":"assistant","content":[]}"#,
        #"{"role":"assistant","content":null,"tool_calls":[],"function_call":null,"refusal":null}"#
    ])
    func assistantsMaySayNothing(_ message: String) throws {
        let text =
            #"{"messages":[{"role":"user","content":"a"},\#(message),"#
            + #"{"role":"user","content":"cut \ud83d"}]}"#
        guard case .chat(let messages) = try request(text).order.prompt else {
            Issue.record("no chat")
            return
        }
        #expect(messages.map(\.content) == ["a", "", "cut \u{FFFD}"])
    }

    @Test func boundsStopStrings() {
        let sixteen = Array(repeating: "\"a\"", count: 16).joined(separator: ",")
        #expect(throws: Never.self) { try request("{\(hello),\"stop\":[\(sixteen)]}") }
        expectError("{\(hello),\"stop\":[\(sixteen),\"b\"]}", "stop")
        let long = String(repeating: "a", count: CompletionRequest.stopStringBytesMax + 1)
        expectError("{\(hello),\"stop\":\"\(long)\"}", "stop")
    }

    private func expectError(
        _ text: String, _ parameter: String, _ kind: CompletionKind = .chat
    ) {
        do {
            _ = try request(text, kind)
            Issue.record("accepted: \(text)")
        } catch let error as GenerationError {
            #expect(error.reason == .invalidRequest)
            #expect(error.parameter == parameter)
            #expect(!error.message.contains("\n"))
        } catch {
            Issue.record("\(error)")
        }
    }
}
