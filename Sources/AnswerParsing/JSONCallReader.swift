// Calls as JSON objects: `{"name": "f", "arguments": {...}}`, alone or in a list. Arguments that
// follow the name are given out as they come.

internal import JSON

struct JSONCallReader: Sendable {
    private enum State {
        /// Before an object, or a list of them.
        case before
        /// Before a member, or the object's end.
        case member
        case key(JSONExtent)
        case colon
        case value
        case streamed(JSONExtent)
        case collected(JSONExtent)
        case after
        /// After something malformed.
        case skipping
    }

    /// After the last call; empty where nothing is.
    private let end: [UInt8]
    /// Without markers: only what cannot be anything else is a call.
    let isBare: Bool
    private let tools: ToolSchemas
    private let keptBytesMax: Int
    private var state = State.before
    private var isList = false
    private var callCount = 0
    private(set) var isOpen = false
    private var text: [UInt8] = []
    private var key = ""
    private var name: String?
    private var id: String?
    private var arguments: [UInt8]?

    init(end: [UInt8], isBare: Bool = false, tools: ToolSchemas, keptBytesMax: Int) {
        self.end = end
        self.isBare = isBare
        self.tools = tools
        self.keptBytesMax = keptBytesMax
    }

    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> CallStep {
        switch state {
        case .key, .streamed, .collected: break
        default: if input.dropSpace() { return .more }
        }
        if case .after = state, end.isEmpty || isBare { return .ended }
        guard let unit = input.first else { return .wait }
        switch state {
        case .after: return stepAfter(&input)
        case .skipping: return skip(&input)
        default: break
        }
        guard !AnswerInput.isSpecial(unit) else { return malformed(&input, &output) }
        let byte = AnswerInput.byte(unit)
        switch state {
        case .before: return stepBefore(byte, &input, &output)
        case .member: return stepMember(byte, &input, &output)
        case .colon:
            guard byte == UInt8(ascii: ":") else { return malformed(&input, &output) }
            input.drop()
            state = .value
        case .value: beginValue(byte, &input, &output)
        case .key(let extent): return stepKey(byte, extent, &input, &output)
        case .streamed(let extent), .collected(let extent):
            // No JSON has it there, and markers begin with it.
            guard extent.isWithinString || byte != UInt8(ascii: "<") else {
                return malformed(&input, &output)
            }
            guard case .streamed = state else { return collect(byte, extent, &input, &output) }
            stream(byte, extent, &input, &output)
        case .after, .skipping: break
        }
        return .more
    }

    private mutating func stepBefore(
        _ byte: UInt8, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        switch byte {
        case UInt8(ascii: "{"): state = .member
        case UInt8(ascii: "[") where !isBare && !isList && callCount == 0: isList = true
        case UInt8(ascii: ",") where isList && callCount > 0: break
        case UInt8(ascii: "]") where isList: state = .after
        default: return malformed(&input, &output)
        }
        input.drop()
        return .more
    }

    private mutating func stepMember(
        _ byte: UInt8, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        switch byte {
        case UInt8(ascii: "\""):
            text = []
            state = .key(JSONExtent())
            return .more
        case UInt8(ascii: ","):
            input.drop()
            return .more
        case UInt8(ascii: "}"):
            guard isOpen || name != nil else { return malformed(&input, &output) }
            input.drop()
            endObject(&input, &output)
            return .more
        default: return malformed(&input, &output)
        }
    }

    private mutating func stepKey(
        _ byte: UInt8, _ extent: JSONExtent, _ input: inout AnswerInput,
        _ output: inout AnswerOutput
    ) -> CallStep {
        var extent = extent
        let step = extent.take(byte)
        text.append(byte)
        input.drop()
        state = .key(extent)
        guard text.count <= CallLimits.nameBytesMax else { return malformed(&input, &output) }
        guard step == .last else { return .more }
        guard case .string(let key)? = try? JSONParser.parse(text),
            !isBare || Self.bareKeys.contains(key)
        else { return malformed(&input, &output) }
        self.key = key
        state = .colon
        return .more
    }

    /// What a call without markers may have.
    private static let bareKeys: Set = ["name", "parameters", "arguments", "type", "id"]

    private mutating func beginValue(
        _ byte: UInt8, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) {
        let isArguments = key == "arguments" || key == "parameters"
        if isArguments, !isOpen, name != nil, arguments == nil, byte == UInt8(ascii: "{") {
            begin(&input, &output)
            state = .streamed(JSONExtent())
        } else {
            text = []
            state = .collected(JSONExtent())
        }
    }

    private mutating func begin(_ input: inout AnswerInput, _ output: inout AnswerOutput) {
        output.beginCall(name ?? "", id: id)
        isOpen = true
        input.release()
    }

    private mutating func stream(
        _ byte: UInt8, _ extent: JSONExtent, _ input: inout AnswerInput,
        _ output: inout AnswerOutput
    ) {
        var extent = extent
        let isWithinString = extent.isWithinString
        let step = extent.take(byte)
        input.drop()
        output.arguments(JSONText.repaired(byte, isWithinString: isWithinString))
        state = step == .last ? .member : .streamed(extent)
    }

    private mutating func collect(
        _ byte: UInt8, _ extent: JSONExtent, _ input: inout AnswerInput,
        _ output: inout AnswerOutput
    ) -> CallStep {
        var extent = extent
        let isWithinString = extent.isWithinString
        let step = extent.take(byte)
        if step != .after {
            text += JSONText.repaired(byte, isWithinString: isWithinString)
            input.drop()
        }
        guard text.count <= keptBytesMax else { return malformed(&input, &output) }
        state = .collected(extent)
        guard step != .inside else { return .more }
        state = .member
        return keep() ? .more : malformed(&input, &output)
    }

    /// Remembers a member; false where it cannot be a call's.
    private mutating func keep() -> Bool {
        guard !isOpen else { return true }
        switch key {
        case "name", "tool_name":
            guard case .string(let name)? = try? JSONParser.parse(text),
                let read = CallName.read(Array(name.utf8)), !isBare || tools.has(read)
            else { return false }
            self.name = read
        case "arguments", "parameters":
            guard (try? JSONParser.parse(text)) != nil else { return false }
            arguments = text
        case "id": id = (try? JSONParser.parse(text))?.string
        default: break
        }
        return true
    }

    private mutating func endObject(_ input: inout AnswerInput, _ output: inout AnswerOutput) {
        if !isOpen {
            begin(&input, &output)
            output.arguments(CallArguments.read(arguments))
        }
        endCall(&output)
        state = isList ? .before : .after
    }

    private mutating func endCall(_ output: inout AnswerOutput) {
        output.endCall()
        isOpen = false
        callCount += 1
        (name, id, arguments) = (nil, nil, nil)
    }

    private mutating func stepAfter(_ input: inout AnswerInput) -> CallStep {
        switch input.match(end) {
        case .full:
            input.drop(end.count)
            return .ended
        case .partial: return .wait
        case .none:
            guard input.firstByte == UInt8(ascii: "{") else { return .ended }
            state = .before
            return .more
        }
    }

    /// What is malformed before a call began is text; later the rest, up to the end's marker, is
    /// left out.
    private mutating func malformed(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        guard isOpen || callCount > 0 else { return .failed }
        if isOpen { endCall(&output) }
        guard !end.isEmpty else { return .ended }
        state = .skipping
        return .more
    }

    private mutating func skip(_ input: inout AnswerInput) -> CallStep {
        switch input.match(end) {
        case .full:
            input.drop(end.count)
            return .ended
        case .partial: return .wait
        case .none:
            input.drop()
            return .more
        }
    }
}
