// What the server tells of what it is at: slots, and the load that metrics are made with.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite(.serialized) struct SlotTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    @Test func anIdleServerHasOneSlot() throws {
        try withServer { server in
            let reply = try server.request("GET", "/slots")
            #expect(reply.body == #"[{"id":0,"n_ctx":0,"is_processing":false}]"#)
            #expect(try server.request("GET", "/slots?fail_on_no_slot=1").status == 200)
            #expect(try server.request("POST", "/slots", "{}").status == 405)
        }
    }

    @Test func whatIsGeneratedIsToldInNumbers() throws {
        try withServer { server in
            let more = #","stream":true,"max_tokens":7,"stop":["secret"],"temperature":0.5"#
            let first = try server.complete("endless", more)
            _ = first.read(until: "on and on")
            let second = try server.complete("queued")
            #expect(eventually { server.service.orders.count == 2 })
            let reply = try server.request("GET", "/slots")
            let slots = try #require(reply.json.array)
            #expect(slots.count == 1 && slots[0]["is_processing"]?.boolean == true)
            #expect(slots[0]["n_prompt_tokens"]?.integer == 3)
            #expect(slots[0]["params"]?["temperature"]?.double == 0.5)
            #expect(slots[0]["params"]?["n_predict"]?.integer == 7)
            #expect(slots[0]["next_token"]?.array?.first?["n_decoded"]?.integer ?? 0 > 0)
            #expect(!reply.body.contains("secret") && !reply.body.contains("endless"))
            let full = try server.request("GET", "/slots?a=b&fail_on_no_slot=1")
            #expect(full.status == 503)
            #expect(try server.request("GET", "/slots?fail_on_no_slot=0").status == 200)
            first.close()
            second.close()
            #expect(eventually { server.service.cancelledCount == 2 })
            let idle = eventually {
                let reply = try? server.request("GET", "/slots")
                return reply?.json.array?.first?["is_processing"]?.boolean == false
            }
            #expect(idle)
        }
    }

    @Test func withoutCountersThereAreNoMetrics() throws {
        try withServer { server in
            let reply = try server.request("GET", "/metrics")
            #expect(reply.status == 404)
        }
    }

    @Test func recordsSayWhatAnAnswerTook() throws {
        try withServer { server in
            #expect(try server.chat("stopped", #","n":2"#).status == 200)
            let record = try #require(server.records.last)
            #expect(record.statistics.generatedTokens == 4)
            #expect(record.statistics.flashBytes == 8192)
            #expect(record.statistics.stopString == nil)
        }
    }
}
