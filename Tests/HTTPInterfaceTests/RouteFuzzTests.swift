// Requests of every route with values that nobody expects, and with damaged bytes: each one is
// answered, none with a status that says that it was our fault, and the server goes on.

import GenerationAPI
import HTTPInterface
import JSON
import TestSupport
import Testing

@Suite(.serialized) struct RouteFuzzTests {
    private static let tool =
        #""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#

    /// A request of each shape that has most of what there is.
    static let samples: [(route: String, body: String)] = [
        (
            "/v1/chat/completions",
            #"{"model":"echo","messages":[{"role":"system","content":"s"},{"role":"assistant","#
                + #""content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"#
                + #""f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"#
                + #""text","text":"t"}]},{"role":"user","content":"call"}],\#(tool),"n":2,"#
                + #""logit_bias":{"5":1},"stop":["a"],"seed":1,"max_tokens":5,"stream":true,"#
                + #""stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":2,"#
                + #""chat_template_kwargs":{"a":[1]},"sluice":{"statistics":true}}"#
        ),
        (
            "/v1/completions",
            #"{"prompt":["a","b"],"echo":true,"n":2,"best_of":2,"logit_bias":[[5,false],[6,1]],"#
                + #""ignore_eos":true,"n_probs":0,"temperature":0.5,"top_k":3,"stop":"x"}"#
        ),
        (
            "/v1/messages",
            #"{"model":"echo","max_tokens":5,"system":[{"type":"text","text":"s"}],"messages":[{"#
                + #""role":"assistant","content":[{"type":"thinking","thinking":"h"},{"type":"#
                + #""tool_use","id":"1","name":"f","input":{"a":{"b":[1]}}}]},{"role":"user","#
                + #""content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","#
                + #""text":"r"}],"is_error":true},{"type":"text","text":"call"}]}],"tools":[{"#
                + #""name":"f","description":"d","input_schema":{"type":"object"}}],"#
                + #""tool_choice":{"type":"auto"},"thinking":{"type":"enabled"},"output_config":"#
                + #"{"effort":"low"},"#
                + #""stop_sequences":["a"],"stream":true}"#
        ),
        (
            "/v1/responses",
            #"{"model":"echo","instructions":"i","input":[{"role":"user","content":[{"type":"#
                + #""input_text","text":"a"}]},{"type":"reasoning","summary":[],"content":[{"#
                + #""type":"reasoning_text","text":"h"}]},{"type":"function_call","call_id":"1","#
                + #""name":"#
                + #""f","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"#
                + #""call"}],"tools":[{"type":"function","name":"f","parameters":{"type":"#
                + #""object"}}],"reasoning":{"effort":"low"},"metadata":{"a":"b"},"text":"#
                + #"{"format":{"type":"#
                + #""text"}},"include":["x"],"stream":true,"max_output_tokens":5}"#
        ),
        (
            "/api/chat",
            #"{"model":"echo","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"#
                + #""f","arguments":{"a":1}}}]},{"role":"tool","content":"r"},{"role":"user","#
                + #""content":"call"}],\#(tool),"options":{"num_predict":5},"think":"low","#
                + #""keep_alive":"5m"}"#
        ), ("/api/generate", #"{"model":"echo","prompt":"a","system":"s","options":{"seed":1}}"#),
        (
            "/v1/messages/count_tokens",
            #"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#
        ), ("/tokenize", #"{"content":"a","with_pieces":true}"#),
        ("/detokenize", #"{"tokens":[1,2]}"#),
        (
            "/v1/embeddings",
            #"{"model":"echo","input":["a",[1,2]],"encoding_format":"base64","dimensions":2}"#
        ), ("/api/embed", #"{"model":"echo","input":["a"],"truncate":true,"keep_alive":"5m"}"#),
        ("/api/embeddings", #"{"model":"echo","prompt":"a","options":{}}"#)
    ]

    private static let odd: [JSONValue] = [
        .null, .boolean(true), .boolean(false), .integer(0), .integer(-1), .integer(.max),
        .integer(.min), .unsigned(.max), .number(0.5), .number(-1e300), .string(""),
        .string("\u{0}"), .string("call"), .string(String(repeating: "x", count: 5000)),
        .array([]), .object([:]), .array([.null]), .array([.array([.array([])])]),
        .object(["type": .string("text")]), .object(["": .null]),
        .array(Array(repeating: .object([:]), count: 200))
    ]

    /// One of the values within replaced, left out, or doubled.
    private static func changed(
        _ value: JSONValue, _ random: inout SplitMix
    ) -> JSONValue {
        switch value {
        case .object(var members):
            guard let name = members.keys.sorted().randomElement(using: &random),
                let member = members[name]
            else { break }
            switch Int.random(in: 0..<8, using: &random) {
            case 0: members[name] = nil
            case 1: members[name] = odd.randomElement(using: &random)
            default: members[name] = changed(member, &random)
            }
            return .object(members)
        case .array(var elements):
            guard let index = elements.indices.randomElement(using: &random) else { break }
            switch Int.random(in: 0..<8, using: &random) {
            case 0: elements.remove(at: index)
            case 1: elements.append(elements[index])
            default: elements[index] = changed(elements[index], &random)
            }
            return .array(elements)
        default: break
        }
        return odd.randomElement(using: &random) ?? .null
    }

    @Test(arguments: samples.indices) func everyRequestIsAnswered(index: Int) throws {
        let (route, body) = Self.samples[index]
        let server = try TestServer()
        defer { server.stop() }
        let whole = try server.request("POST", route, body)
        #expect(whole.status == 200, "\(route): \(whole.body)")
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(seed: seed)
        for _ in 0..<300 { try Self.askDamaged(index, server, &random, "seed \(seed)") }
        #expect(try server.request("POST", route, body).status == 200)
    }

    /// One request made of a sample, with a value of it changed, and what is answered.
    static func askDamaged(
        _ index: Int, _ server: TestServer, _ random: inout SplitMix, _ place: String
    ) throws {
        let (route, body) = samples[index]
        var value = try JSONParser.parse(Array(body.utf8))
        for _ in 0..<Int.random(in: 1...3, using: &random) { value = changed(value, &random) }
        var text = value.text()
        if Int.random(in: 0..<10, using: &random) == 0, !text.isEmpty {
            text[Int.random(in: 0..<text.count, using: &random)] = .random(
                in: 0...255, using: &random)
        }
        let socket = try server.connect()
        try socket.send(
            "POST \(route) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + "Content-Length: \(text.count)\r\n\r\n")
        try socket.send(text)
        let reply = Reply(socket.readToEnd())
        let told = String(decoding: text.prefix(2000), as: UTF8.self)
        #expect(
            reply.status == 200 || (400..<500).contains(reply.status),
            "\(place), \(route): \(reply.status) for \(told)")
        guard reply.headers["content-type"] == "application/json" else { return }
        #expect(reply.json != .null, "\(place), \(route): \(reply.body)")
    }
}
