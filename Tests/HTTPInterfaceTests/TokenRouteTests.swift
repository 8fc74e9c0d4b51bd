// The routes that tell of prompts and of the service, in llama-server's shapes.

import GenerationAPI
import HTTPInterface
import JSON
import ModelFormat
import Testing

@Suite(.serialized) struct TokenRouteTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    @Test func textsBecomeTokens() throws {
        try withServer { server in
            let plain = try server.request("POST", "/tokenize", #"{"content":"aé"}"#)
            #expect(plain.status == 200 && plain.body == #"{"tokens":[97,195,169]}"#)
            var order = try #require(server.service.orders.last)
            // What a user wrote is text.
            #expect(order.wanted == .tokens(TokenizingRules()) && order.model == nil)
            #expect(order.prompt == .text("aé"))
            let pieces = try server.request(
                "POST", "/tokenize",
                #"{"content":"aé","with_pieces":true,"add_special":true,"parse_special":true,"#
                    + #""model":"echo"}"#)
            #expect(
                pieces.body
                    == #"{"tokens":[{"id":97,"piece":"a"},{"id":195,"piece":[195]},"#
                    + #"{"id":169,"piece":[169]}]}"#)
            order = try #require(server.service.orders.last)
            var rules = TokenizingRules()
            (rules.addsSpecial, rules.parsesSpecial, rules.includesPieces) = (true, true, true)
            #expect(order.wanted == .tokens(rules) && order.model == "echo")
            let empty = try server.request("POST", "/tokenize", #"{"content":""}"#)
            #expect(empty.body == #"{"tokens":[]}"#)
            // A stream is not what this route has.
            let whole = try server.request(
                "POST", "/tokenize", #"{"content":"a","stream":true}"#)
            #expect(whole.body == #"{"tokens":[97]}"#)
        }
    }

    @Test func tokensBecomeText() throws {
        try withServer { server in
            let reply = try server.request("POST", "/detokenize", #"{"tokens":[7,8]}"#)
            #expect(reply.status == 200 && reply.body == #"{"content":"7 8"}"#)
            let order = try #require(server.service.orders.last)
            #expect(order.wanted == .text && order.prompt == .tokens([TokenID(7), TokenID(8)]))
            let empty = try server.request("POST", "/detokenize", #"{"tokens":[]}"#)
            #expect(empty.body == #"{"content":""}"#)
        }
    }

    @Test(arguments: [
        ("/tokenize", "{}", "content"), ("/tokenize", #"{"content":[1]}"#, "content"),
        ("/tokenize", #"{"content":"a","add_special":1}"#, "add_special"),
        ("/tokenize", #"{"content":"a","parse_special":"yes"}"#, "parse_special"),
        ("/tokenize", #"{"content":"a","with_pieces":[]}"#, "with_pieces"),
        ("/tokenize", #"{"content":"a","model":1}"#, "model"),
        ("/detokenize", "{}", "tokens"), ("/detokenize", #"{"tokens":"a"}"#, "tokens"),
        ("/detokenize", #"{"tokens":[-1]}"#, "tokens"),
        ("/detokenize", #"{"tokens":[1.5]}"#, "tokens"),
        ("/detokenize", #"{"tokens":[2147483648]}"#, "tokens")
    ])
    func namesTheField(_ route: String, _ body: String, _ parameter: String) throws {
        try withServer { server in
            let reply = try server.request("POST", route, body)
            #expect(reply.status == 400, "\(reply.body)")
            #expect(reply.json["error"]?["param"]?.string == parameter)
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func tellsItsProperties() throws {
        try withServer { server in
            let reply = try server.request("GET", "/props")
            let settings = reply.json["default_generation_settings"]
            #expect(reply.status == 200 && settings?["n_ctx"]?.integer == 0)
            #expect(settings?["params"]?["temperature"]?.double == 0.8)
            #expect(settings?["params"]?["top_k"]?.integer == 40)
            #expect(reply.json["total_slots"]?.integer == 1)
            #expect(reply.json["model_alias"]?.string == "echo")
            #expect(reply.json["chat_template"]?.string == "")
            #expect(reply.json["bos_token"]?.string == "")
            #expect(reply.json["models"]?.array?.count == 1)
            #expect(reply.json["models"]?.array?.first?["model_alias"]?.string == "echo")
            #expect(reply.json["endpoint_metrics"]?.boolean == false)
            #expect(reply.json["build_info"]?.string == "sluice \(SluiceVersion.current)")
            #expect(try server.request("POST", "/props", "{}").status == 405)
        }
    }
}
