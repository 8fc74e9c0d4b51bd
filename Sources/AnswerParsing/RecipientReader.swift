// Answers whose messages say in their first line to whom they are: `>>>all` is said, `>>>NAME` is a
// call, whose arguments follow. The prompt ends with the first marker.

struct RecipientReader: Sendable {
    private enum State {
        /// Within a message's first line, which may also be text.
        case header
        case content
        /// Before the arguments.
        case call
        case arguments(JSONExtent)
        /// Arguments that are no JSON.
        case words
        /// After the arguments' end.
        case after
    }

    private static let everybody = "all"
    private static let lineEnd: UInt8 = 0x0A

    private let marker: [UInt8]
    private let tools: ToolSchemas?
    private var state = State.header
    /// Where text goes on if this is no header.
    private var outer = State.content
    private var header: [UInt8] = []
    private var isFirst = true
    private var isOpen = false

    init(marker: [UInt8], tools: ToolSchemas?) {
        self.marker = marker
        self.tools = tools
    }

    /// - Returns: whether it took something; never `ended`.
    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> Bool {
        if isFirst {
            guard input.first != nil else { return false }
            input.keep()
            switch input.match(marker) {
            case .partial: return false
            case .full: input.drop(marker.count)
            case .none: break
            }
            isFirst = false
        }
        if case .header = state { return stepHeader(&input, &output) }
        guard let unit = input.first else { return false }
        if mayEnd {
            switch input.match(marker) {
            case .partial: return false
            case .full:
                outer = state
                header = []
                input.keep()
                input.drop(marker.count)
                state = .header
                return true
            case .none: break
            }
        }
        input.drop()
        take(unit, &output)
        return true
    }

    /// Whether another message may begin here: JSON first ends.
    private var mayEnd: Bool { if case .arguments = state { false } else { true } }

    private mutating func stepHeader(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> Bool {
        guard let unit = input.first else {
            guard input.isFinal, !isHalfHeader else { return false }
            refuse(&input, &output)
            return true
        }
        guard !AnswerInput.isSpecial(unit) else {
            refuse(&input, &output)
            return true
        }
        let byte = AnswerInput.byte(unit)
        guard byte == Self.lineEnd else {
            input.drop()
            header.append(byte)
            if !isHalfHeader { refuse(&input, &output) }
            return true
        }
        input.drop()
        let name = CallName.read(header) ?? ""
        guard name == Self.everybody || tools?.has(name) == true else {
            refuse(&input, &output)
            return true
        }
        input.release()
        close(&output)
        if name == Self.everybody {
            output.separateMessages(isReasoning: false)
            state = .content
        } else {
            output.beginCall(name)
            isOpen = true
            state = .call
        }
        return true
    }

    /// Whether the line so far may become that of a header.
    private var isHalfHeader: Bool {
        var name = header[...]
        while let last = name.last, last.isSpace { name.removeLast() }
        return Self.everybody.utf8.starts(with: name) || tools?.hasName(beginning: name) == true
    }

    /// What was read is no header.
    private mutating func refuse(_ input: inout AnswerInput, _ output: inout AnswerOutput) {
        input.rewind()
        state = outer
        guard let unit = input.first else { return }
        input.drop()
        take(unit, &output)
    }

    private mutating func take(_ unit: UInt16, _ output: inout AnswerOutput) {
        let byte = AnswerInput.byte(unit)
        switch state {
        case .content: output.content(unit)
        case .call:
            guard !AnswerInput.isSpecial(unit), !byte.isSpace else { return }
            state = byte == UInt8(ascii: "{") ? .arguments(JSONExtent()) : .words
            take(unit, &output)
        case .arguments(var extent):
            guard !AnswerInput.isSpecial(unit) else { return }
            let isWithinString = extent.isWithinString
            let step = extent.take(byte)
            output.arguments(JSONText.repaired(byte, isWithinString: isWithinString))
            state = step == .last ? .after : .arguments(extent)
        case .words: if !AnswerInput.isSpecial(unit) { output.arguments([byte]) }
        case .after, .header: break
        }
    }

    private mutating func close(_ output: inout AnswerOutput) {
        guard isOpen else { return }
        if case .call = outer { output.arguments(CallArguments.read(nil)) }
        output.endCall()
        isOpen = false
    }

    /// The answer is over: what was said of a message stays, a call ends.
    mutating func finish(_ output: inout AnswerOutput) {
        if case .header = state { state = outer }
        outer = state
        close(&output)
    }
}
