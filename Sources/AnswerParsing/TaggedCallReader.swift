// Calls as a name and arguments between tags. What a value is, a text or JSON, the tool's schema
// says. Texts are given out as they come, other values when they are complete.

struct TaggedCallReader: Sendable {
    private enum State {
        case open
        case name
        /// Before an argument, or the end of them.
        case parameters
        case key
        case beforeValue
        case valueStart
        /// A text, given out as it comes.
        case text
        /// A value that is collected.
        case value
        /// After a call, of which there may be more.
        case between
        /// JSON in the name's place.
        case object(JSONCallReader)
    }

    private let syntax: TaggedSyntax
    private let tools: ToolSchemas
    /// Whether only a call of a tool that there is is one.
    private let isStrict: Bool
    private let keptBytesMax: Int
    private var state: State
    private var isNamed = false
    private var callCount = 0
    private var name = ""
    private var key = ""
    /// What the key's end said of the value.
    private var kindSaid: ToolSchemas.Kind?
    private var keys: Set<String> = []
    private var text: [UInt8] = []

    /// - Parameter isBegun: whether the tag before the name was read.
    init(
        _ syntax: TaggedSyntax, isBegun: Bool, isStrict: Bool, tools: ToolSchemas, keptBytesMax: Int
    ) {
        self.keptBytesMax = keptBytesMax
        self.syntax = syntax
        self.tools = tools
        self.isStrict = isStrict
        state = isBegun || syntax.functionBegin.isEmpty ? .name : .open
    }

    var isOpen: Bool {
        if case .object(let reader) = state { reader.isOpen } else { isNamed }
    }

    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> CallStep {
        if case .object(var reader) = state {
            // Otherwise each step would copy what the reader keeps.
            state = .open
            defer { state = .object(reader) }
            return reader.step(&input, &output)
        }
        switch state {
        case .open, .parameters, .beforeValue, .between:
            if input.dropSpace() { return .more }
        case .name where text.isEmpty: if input.dropSpace() { return .more }
        default: break
        }
        guard let unit = input.first else { return .wait }
        switch state {
        case .open: return stepOpen(&input)
        case .name: return stepName(unit, &input, &output)
        case .parameters: return stepParameters(&input, &output)
        case .key: return stepKey(unit, &input)
        case .beforeValue: return stepBeforeValue(&input)
        case .valueStart: beginValue(&input, &output)
        case .text, .value: return stepValue(unit, &input, &output)
        case .between: return stepBetween(&input)
        case .object: break
        }
        return .more
    }

    private mutating func stepOpen(_ input: inout AnswerInput) -> CallStep {
        if beginsObject(input) { return .more }
        switch input.match(syntax.functionBegin) {
        case .partial: return .wait
        case .none: return .failed
        case .full:
            input.drop(syntax.functionBegin.count)
            state = .name
            return .more
        }
    }

    /// Models that saw the other way often mix them up.
    private mutating func beginsObject(_ input: AnswerInput) -> Bool {
        guard input.firstByte == UInt8(ascii: "{"), callCount == 0, !isStrict else { return false }
        state = .object(
            JSONCallReader(end: syntax.block.end, tools: tools, keptBytesMax: keptBytesMax))
        return true
    }

    private mutating func stepName(
        _ unit: UInt16, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        if text.isEmpty, beginsObject(input) { return .more }
        let (match, place) = input.match(anyOf: syntax.nameEnds)
        switch match {
        case .partial: return .wait
        case .none:
            guard CallName.mayContinue(text, unit) else { return unnamed() }
            text.append(AnswerInput.byte(unit))
            input.drop()
            return .more
        case .full: break
        }
        guard let name = CallName.read(text), !isStrict || tools.has(name) else {
            return unnamed()
        }
        let end = syntax.nameEnds[place]
        if end != syntax.keyBegin, end != syntax.block.end { input.drop(end.count) }
        self.name = name
        (text, keys) = ([], [])
        isNamed = true
        output.beginCall(name)
        input.release()
        output.arguments([UInt8(ascii: "{")])
        state = .parameters
        return .more
    }

    private func unnamed() -> CallStep { callCount > 0 ? .ended : .failed }

    private mutating func stepParameters(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        let markers = [syntax.keyBegin, syntax.functionEnd, syntax.block.end]
        let (match, place) = input.match(anyOf: markers)
        switch match {
        case .partial: return .wait
        // Nothing else is meant to be here.
        case .none: input.drop()
        case .full:
            input.drop(markers[place].count)
            if place == 0 {
                text = []
                state = .key
                return .more
            }
            output.arguments([UInt8(ascii: "}")])
            output.endCall()
            isNamed = false
            callCount += 1
            state = .between
            if place == 2 { return .ended }
        }
        return .more
    }

    private mutating func stepKey(_ unit: UInt16, _ input: inout AnswerInput) -> CallStep {
        let (match, place) = input.match(anyOf: syntax.keyEnds.map(\.marker))
        switch match {
        case .partial: return .wait
        case .none:
            guard !AnswerInput.isSpecial(unit), text.count < CallLimits.nameBytesMax else {
                // No key: what follows is looked through for the next.
                state = .parameters
                return .more
            }
            text.append(AnswerInput.byte(unit))
            input.drop()
        case .full:
            input.drop(syntax.keyEnds[place].marker.count)
            kindSaid = syntax.keyEnds[place].kind
            key = String(decoding: ToolSchemas.trimmed(text), as: UTF8.self)
            state = syntax.valueBegin.isEmpty ? .valueStart : .beforeValue
        }
        return .more
    }

    private mutating func stepBeforeValue(_ input: inout AnswerInput) -> CallStep {
        switch input.match(syntax.valueBegin) {
        case .partial: return .wait
        case .full: input.drop(syntax.valueBegin.count)
        case .none: break
        }
        state = .valueStart
        return .more
    }

    private var kind: ToolSchemas.Kind { kindSaid ?? tools.kind(of: key, in: name) }

    private mutating func beginValue(_ input: inout AnswerInput, _ output: inout AnswerOutput) {
        if syntax.hasLines, input.firstByte == 0x0A { input.drop() }
        text = []
        state = .value
        // Of two values of one name, the first counts.
        guard !keys.contains(key) else { return }
        if kind == .text { beginText(&output) }
    }

    private mutating func beginText(_ output: inout AnswerOutput) {
        writeKey(&output)
        output.arguments([UInt8(ascii: "\"")])
        state = .text
    }

    private mutating func writeKey(_ output: inout AnswerOutput) {
        if !keys.isEmpty { output.arguments(", ".utf8) }
        output.arguments(JSONText.quoted(key.utf8) + Array(": ".utf8))
        keys.insert(key)
    }

    private mutating func stepValue(
        _ unit: UInt16, _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> CallStep {
        let ends = [syntax.valueEnd, syntax.hasLines ? [0x0A] + syntax.valueEnd : []]
        let (match, place) = input.match(anyOf: ends)
        switch match {
        case .partial: return .wait
        case .full:
            input.drop(ends[place].count)
            endValue(&output)
        case .none:
            input.drop()
            guard !AnswerInput.isSpecial(unit) else { return .more }
            add(AnswerInput.byte(unit), &output)
        }
        return .more
    }

    private mutating func add(_ byte: UInt8, _ output: inout AnswerOutput) {
        if case .value = state {
            if text.count < keptBytesMax { return text.append(byte) }
            // Too long to be looked at as a whole: a text.
            guard !keys.contains(key) else { return }
            beginText(&output)
            for byte in text { add(byte, &output) }
            text = []
        }
        var escaped: [UInt8] = []
        JSONText.append(byte, to: &escaped)
        output.arguments(escaped)
    }

    private mutating func endValue(_ output: inout AnswerOutput) {
        if case .text = state {
            output.arguments([UInt8(ascii: "\"")])
        } else if !keys.contains(key) {
            let kind = kind
            writeKey(&output)
            output.arguments(ToolSchemas.json(text, as: kind))
        }
        text = []
        state = .parameters
    }

    private mutating func stepBetween(_ input: inout AnswerInput) -> CallStep {
        let markers = [syntax.functionBegin, syntax.block.end]
        let (match, place) = input.match(anyOf: markers)
        switch match {
        case .partial: return .wait
        case .none: return .ended
        case .full:
            input.drop(markers[place].count)
            text = []
            state = .name
            return place == 0 ? .more : .ended
        }
    }
}
