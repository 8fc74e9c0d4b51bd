// Calls as a name, a separator and the arguments' JSON, which is given out as it comes.

struct NamedCallReader: Sendable {
    private enum State {
        case start
        case name
        case id
        case beforeArguments
        case arguments(JSONExtent)
        case after
        /// JSON in the name's place.
        case object(JSONCallReader)
    }

    private let syntax: NamedSyntax
    private let tools: ToolSchemas
    /// Whether only an object for a tool that there is makes a call.
    private let isStrict: Bool
    private let keptBytesMax: Int
    private var state = State.start
    private var isNamed = false
    private var text: [UInt8] = []
    private var name = ""
    private var id: String?

    init(_ syntax: NamedSyntax, isStrict: Bool, tools: ToolSchemas, keptBytesMax: Int) {
        self.syntax = syntax
        self.isStrict = isStrict || syntax.isStrict
        self.tools = tools
        self.keptBytesMax = keptBytesMax
    }

    var isOpen: Bool {
        if case .object(let reader) = state { reader.isOpen } else { isNamed }
    }

    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> CallStep {
        if case .object(var reader) = state {
            // Otherwise each step would copy what the reader keeps.
            state = .start
            defer { state = .object(reader) }
            return reader.step(&input, &output)
        }
        if case .after = state, syntax.end.isEmpty { return .ended }
        switch state {
        case .start, .beforeArguments, .after: if input.dropSpace() { return .more }
        default: break
        }
        guard let unit = input.first else { return .wait }
        switch state {
        case .start:
            let isJSON = syntax.allowsJSON && [0x5B, 0x7B].contains(input.firstByte)
            state =
                isJSON
                ? .object(JSONCallReader(end: [], tools: tools, keptBytesMax: keptBytesMax))
                : .name
        case .name: return stepName(unit, &input, &output)
        case .id: return stepID(unit, &input)
        case .beforeArguments: return beginArguments(&input, &output)
        case .arguments(let extent): stepArguments(unit, extent, &input, &output)
        case .after, .object: return stepAfter(&input)
        }
        return .more
    }

    private mutating func stepName(
        _ unit: UInt16, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        let ends = syntax.nameEnds + [syntax.idBegin ?? [], syntax.end]
        let (match, place) = input.match(anyOf: ends)
        switch match {
        case .partial: return .wait
        case .none:
            guard CallName.mayContinue(text, unit) else { return .failed }
            text.append(AnswerInput.byte(unit))
            input.drop()
            return .more
        case .full: break
        }
        // The older of DeepSeek's forms has the kind of tool before the name.
        if place == 0, syntax.nameEnds.count == 2, CallName.read(text) == "function",
            !tools.has("function")
        {
            input.drop(ends[0].count)
            text = []
            return .more
        }
        guard let name = readName(), !isStrict || tools.has(name) else { return .failed }
        self.name = name
        text = []
        if ends[place] == [UInt8(ascii: "{")] || ends[place] == syntax.end {
            state = .beforeArguments
        } else {
            input.drop(ends[place].count)
            state = ends[place] == syntax.idBegin ? .id : .beforeArguments
        }
        return .more
    }

    /// The name; where it is within an id, that is kept.
    private mutating func readName() -> String? {
        guard syntax.namesAreIDs, let read = CallName.read(text) else { return CallName.read(text) }
        let prefix = "functions."
        var name = read.hasPrefix(prefix) ? read.dropFirst(prefix.count) : Substring(read)
        if let colon = name.lastIndex(of: ":"), !name[colon...].dropFirst().isEmpty,
            name[colon...].dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) })
        {
            name = name[..<colon]
        }
        id = read
        return CallName.read(Array(name.utf8))
    }

    private mutating func stepID(_ unit: UInt16, _ input: inout AnswerInput) -> CallStep {
        let (match, place) = input.match(anyOf: syntax.nameEnds)
        switch match {
        case .partial: return .wait
        case .full:
            if syntax.nameEnds[place].count > 1 { input.drop(syntax.nameEnds[place].count) }
            id = String(decoding: text, as: UTF8.self)
            state = .beforeArguments
            return .more
        case .none:
            guard !AnswerInput.isSpecial(unit), text.count < CallLimits.nameBytesMax else {
                return .failed
            }
            text.append(AnswerInput.byte(unit))
            input.drop()
            return .more
        }
    }

    private mutating func beginArguments(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        guard !isStrict || input.firstByte == UInt8(ascii: "{") else { return .failed }
        output.beginCall(name, id: id)
        isNamed = true
        input.release()
        if input.firstByte == nil || input.firstByte == syntax.end.first {
            output.arguments(CallArguments.read(nil))
            endCall(&output)
        } else {
            state = .arguments(JSONExtent())
        }
        return .more
    }

    private mutating func stepArguments(
        _ unit: UInt16, _ extent: JSONExtent, _ input: inout AnswerInput,
        _ output: inout AnswerOutput
    ) {
        guard !AnswerInput.isSpecial(unit) else { return endCall(&output) }
        var extent = extent
        let byte = AnswerInput.byte(unit)
        let isWithinString = extent.isWithinString
        let step = extent.take(byte)
        if step != .after {
            input.drop()
            output.arguments(JSONText.repaired(byte, isWithinString: isWithinString))
        }
        state = .arguments(extent)
        if step != .inside { endCall(&output) }
    }

    private mutating func endCall(_ output: inout AnswerOutput) {
        output.endCall()
        isNamed = false
        state = .after
    }

    private mutating func stepAfter(_ input: inout AnswerInput) -> CallStep {
        let fence = Array("```".utf8)
        let (match, place) = input.match(anyOf: [syntax.end, fence])
        switch match {
        case .partial: return .wait
        case .none: return .ended
        case .full:
            input.drop(place == 0 ? syntax.end.count : fence.count)
            return place == 0 ? .ended : .more
        }
    }
}
