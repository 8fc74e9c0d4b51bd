// Tools through the daemon's socket and the client behind it: what one side writes the other reads.

import Client
import GenerationAPI
import Service
import Synchronization
import Testing

@Suite(.serialized) struct ToolClientTests {
    private static let tools =
        #"[{"type":"function","function":{"name":"get_weather","z":1,"a":2}}]"#

    /// The events of an order that a daemon answers, and the order as it arrived there.
    private func answer(
        _ configure: (inout GenerationOrder) -> Void, _ messages: [ChatMessage]
    ) throws -> (events: [GenerationEvent], order: GenerationOrder?) {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let client = try DaemonClient.find([daemon.socket])
        var order = GenerationOrder(prompt: .chat(messages), client: ClientID(rawValue: 1))
        order.tools = Self.tools
        configure(&order)
        let events = Mutex<[GenerationEvent]>([])
        let isOver = Mutex(false)
        _ = client.generate(order) { event in
            events.withLock { $0.append(event) }
            switch event {
            case .finished, .failed: isOver.withLock { $0 = true }
            default: break
            }
        }
        #expect(eventually { isOver.withLock { $0 } })
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
        return (events.withLock { $0 }, daemon.service.orders.last)
    }

    private static let question = ChatMessage(role: "user", content: "weather?")

    private func calls(_ events: [GenerationEvent]) -> [ToolCallEvent] {
        events.compactMap { if case .toolCall(let event) = $0 { event } else { nil } }
    }

    @Test func callsArriveAsTheyWereMade() throws {
        let (events, order) = try answer({ _ in }, [Self.question])
        #expect(order?.tools == Self.tools)
        let one = calls(events).filter { call in
            switch call {
            case .began(let index, _, _), .arguments(let index, _), .ended(let index): index == 1
            }
        }
        #expect(
            one == [
                .began(index: 1, id: "call_1", name: "get_weather"),
                .arguments(index: 1, "{\"city\": "), .arguments(index: 1, "\"Paris\"}"),
                .ended(index: 1)
            ])
        #expect(calls(events).count == 8)
        guard case .finished(.toolCalls, _)? = events.last, case .reasoning("Hm.") = events[1]
        else {
            Issue.record("\(events)")
            return
        }
    }

    @Test func oneCallIsAskedFor() throws {
        let (events, order) = try answer({ $0.allowsParallelCalls = false }, [Self.question])
        #expect(order?.allowsParallelCalls == false && calls(events).count == 4)
    }

    @Test func messagesArriveWhole() throws {
        var call = ChatMessage(role: "assistant", content: "")
        call.reasoning = "Hm.\n"
        call.toolCalls = [
            ToolCall(id: "call_0", name: "get_weather", arguments: "{\"city\": \"Paris\"}")
        ]
        var result = ChatMessage(role: "tool", content: "\"sun\"")
        result.toolCallID = "call_0"
        result.name = "get_weather"
        let messages = [Self.question, call, result]
        let (events, order) = try answer({ _ in }, messages)
        #expect(order?.prompt == .chat(messages))
        let text = events.reduce("") {
            if case .text(let text, _) = $1 { $0 + text } else { $0 }
        }
        #expect(text == "\"sun\"")
    }

    @Test func promptsAreShown() throws {
        let (events, order) = try answer({ $0.wanted = .prompt }, [Self.question])
        #expect(order?.wanted == .prompt && events.count == 3)
        guard case .text("weather?", _) = events[1] else {
            Issue.record("\(events)")
            return
        }
    }
}
