// What a body has as it was written: templates print objects with their keys in that order, which
// values do not keep, and a call that comes back in another order is another prompt.

package import JSON

/// Texts of a body's fields as they were written.
package struct RequestTexts: Sendable {
    /// Where an object is that a message has of a call's arguments.
    struct CallPlace: Hashable {
        let message: Int
        /// Of its call or block.
        let index: Int
    }

    /// The field `tools`.
    package var tools: [UInt8]?
    package var templateArguments: [UInt8]?
    package var responseFormat: [UInt8]?
    package var schema: [UInt8]?
    package var format: [UInt8]?
    /// What the formats of OpenAI's and Anthropic's newer APIs are.
    private(set) var nestedFormat: [UInt8]?
    /// Arguments of earlier calls, in dialects that write them as objects.
    private var arguments: [CallPlace: [UInt8]] = [:]

    package init() {}

    /// - Parameter body: the value that `bytes` are.
    package init(_ body: JSONValue, in bytes: Span<UInt8>, dialect: Dialect = .openAI) {
        func text(_ name: String) -> [UInt8]? {
            body[name] == nil ? nil : JSONParser.text(ofMember: name, in: bytes)
        }
        tools = text("tools")
        templateArguments = text(TemplateFields.argumentsName)
        responseFormat = text(OutputFields.formatName)
        schema = text(OutputFields.schemaName)
        format = text(OutputFields.ollamaName)
        switch dialect {
        case .openAI: break
        case .responses:
            nestedFormat = text("text").flatMap { JSONParser.text(ofMember: "format", in: $0.span) }
        case .ollama:
            readCalls(body, in: bytes, list: "tool_calls", path: ["function", "arguments"])
        case .anthropic:
            readCalls(body, in: bytes, list: "content", path: ["input"])
            let nested = text("output_config").flatMap {
                JSONParser.text(ofMember: "format", in: $0.span)
            }
            nestedFormat = nested ?? text("output_format")
        }
    }

    /// The arguments of a call; `value` where nobody knows how they were written.
    func arguments(_ value: JSONValue, message: Int, index: Int) -> String {
        String(
            decoding: arguments[CallPlace(message: message, index: index)] ?? value.text(),
            as: UTF8.self)
    }

    /// - Parameters:
    ///   - list: the member of a message that has calls among its elements.
    ///   - path: the members that lead from such an element to the arguments.
    private mutating func readCalls(
        _ body: JSONValue, in bytes: Span<UInt8>, list: String, path: [String]
    ) {
        guard let messages = body["messages"]?.array,
            messages.contains(where: { Self.hasCalls($0, list, path) }),
            let place = JSONParser.range(ofMember: "messages", at: 0, in: bytes)
        else { return }
        let places = JSONParser.elements(at: place.lowerBound, in: bytes)
        for (index, message) in messages.enumerated()
        where Self.hasCalls(message, list, path) && index < places.count {
            let start = places[index].lowerBound
            guard let content = JSONParser.range(ofMember: list, at: start, in: bytes) else {
                continue
            }
            for (position, element) in JSONParser.elements(at: content.lowerBound, in: bytes)
                .enumerated()
            {
                guard let found = Self.place(path, in: element, bytes) else { continue }
                arguments[CallPlace(message: index, index: position)] = JSONParser.text(
                    found, in: bytes)
            }
        }
    }

    /// Where the object is that `path` leads to.
    private static func place(
        _ path: [String], in element: Range<Int>, _ bytes: Span<UInt8>
    ) -> Range<Int>? {
        var place = element
        for name in path {
            guard let next = JSONParser.range(ofMember: name, at: place.lowerBound, in: bytes)
            else { return nil }
            place = next
        }
        return bytes[place.lowerBound] == UInt8(ascii: "{") ? place : nil
    }

    private static func hasCalls(_ message: JSONValue, _ list: String, _ path: [String]) -> Bool {
        guard let elements = message[list]?.array else { return false }
        return elements.contains { element in path.first.map { element[$0] != nil } ?? false }
    }
}
