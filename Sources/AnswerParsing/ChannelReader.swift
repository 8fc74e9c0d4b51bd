// Answers in channels (gpt-oss): messages with a header that says to whom and in which channel.
// `analysis` is thought, what has a function for its recipient is a call, the rest is said.

struct ChannelReader: Sendable {
    private enum State {
        /// Where a header may be: at the answer's beginning, and after each message.
        case between
        case header
        case content
        case reasoning
        case call(JSONExtent)
    }

    private static let headerBytesMax = 1024
    private static let start = Array("<|start|>".utf8)
    private static let channel = Array("<|channel|>".utf8)
    private static let message = Array("<|message|>".utf8)
    private static let constrain = Array("<|constrain|>".utf8)
    private static let recipient = Array("to=".utf8)
    private static let ends = ["<|end|>", "<|call|>", "<|return|>"].map { Array($0.utf8) }
    /// Stands for the channel's marker in a header, where no text has it.
    private static let channelSign: UInt8 = 1

    private let tools: ToolSchemas?
    private var state = State.between
    private var header: [UInt8] = []
    private var hasArguments = false

    init(tools: ToolSchemas?) { self.tools = tools }

    /// Whether a call has begun, and not ended.
    var isOpen: Bool { if case .call = state { true } else { false } }

    /// - Returns: whether it took something; never `ended`.
    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> Bool {
        switch state {
        case .between: return stepBetween(&input, &output)
        case .header: return stepHeader(&input, &output)
        case .content, .reasoning, .call: return stepMessage(&input, &output)
        }
    }

    private mutating func stepBetween(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> Bool {
        if input.dropSpace() { return true }
        guard input.first != nil else { return false }
        let markers = [Self.start, Self.channel, Self.message, Self.recipient] + Self.ends
        let (match, place) = input.match(anyOf: markers)
        switch match {
        case .partial: return false
        case .none: begin(.content, &output)
        case .full:
            if place < 4 {
                header = []
                input.keep()
                state = .header
            } else {
                input.drop(markers[place].count)
            }
        }
        return true
    }

    private mutating func stepHeader(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> Bool {
        guard let unit = input.first else { return false }
        let markers = [Self.message, Self.channel, Self.constrain, Self.start] + Self.ends
        let (match, place) = input.match(anyOf: markers)
        switch match {
        case .partial: return false
        case .none:
            if !AnswerInput.isSpecial(unit) { header.append(AnswerInput.byte(unit)) }
            input.drop()
            guard header.count > Self.headerBytesMax else { return true }
            // No header: text.
            input.rewind()
            begin(.content, &output)
        case .full:
            input.drop(markers[place].count)
            switch place {
            case 0:
                input.release()
                open(&output)
            case 1: header += [0x20, Self.channelSign]
            case 2: header.append(0x20)
            case 3: header = []
            default:
                input.release()
                state = .between
            }
        }
        return true
    }

    /// Begins the message whose header was read.
    private mutating func open(_ output: inout AnswerOutput) {
        let words = header.split(whereSeparator: { $0 <= 0x20 && $0 != Self.channelSign })
        let channel = words.first { $0.first == Self.channelSign }?.dropFirst()
        let to = words.first { $0.starts(with: Self.recipient) }?.dropFirst(Self.recipient.count)
        header = []
        if let tools, let to, let name = Self.function(Array(to), tools) {
            output.beginCall(name)
            hasArguments = false
            state = .call(JSONExtent())
        } else if channel.map(Array.init) == Array("analysis".utf8) {
            begin(.reasoning, &output)
        } else {
            begin(.content, &output)
        }
    }

    /// The function that a recipient is: `functions.NAME`, or the name of a tool that there is.
    private static func function(_ recipient: [UInt8], _ tools: ToolSchemas) -> String? {
        let prefix = Array("functions.".utf8)
        if recipient.starts(with: prefix) {
            return CallName.read(Array(recipient.dropFirst(prefix.count)))
        }
        return CallName.read(recipient).flatMap { tools.has($0) ? $0 : nil }
    }

    private mutating func begin(_ state: State, _ output: inout AnswerOutput) {
        self.state = state
        if case .reasoning = state {
            output.separateMessages(isReasoning: true)
        } else {
            output.separateMessages(isReasoning: false)
        }
    }

    private mutating func stepMessage(
        _ input: inout AnswerInput, _ output: inout AnswerOutput
    ) -> Bool {
        guard let unit = input.first else { return false }
        let markers = Self.ends + [Self.start, Self.channel]
        let (match, place) = input.match(anyOf: markers)
        switch match {
        case .partial: return false
        case .full:
            endMessage(&output)
            if place < Self.ends.count { input.drop(markers[place].count) }
            return true
        case .none: input.drop()
        }
        switch state {
        case .reasoning: output.reasoning(unit)
        case .call(let extent) where !AnswerInput.isSpecial(unit):
            addArgument(AnswerInput.byte(unit), extent, &output)
        case .call, .between, .header: break
        case .content: output.content(unit)
        }
        return true
    }

    private mutating func addArgument(
        _ byte: UInt8, _ extent: JSONExtent, _ output: inout AnswerOutput
    ) {
        var extent = extent
        if !hasArguments, byte.isSpace { return }
        hasArguments = true
        let isWithinString = extent.isWithinString
        _ = extent.take(byte)
        state = .call(extent)
        output.arguments(JSONText.repaired(byte, isWithinString: isWithinString))
    }

    private mutating func endMessage(_ output: inout AnswerOutput) {
        if case .call = state {
            if !hasArguments { output.arguments(CallArguments.read(nil)) }
            output.endCall()
        }
        state = .between
    }

    /// The answer is over: what was said of a message stays, a call ends.
    mutating func finish(_ output: inout AnswerOutput) { endMessage(&output) }
}
