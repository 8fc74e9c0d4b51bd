// Calls that are read when they are complete: Python's, those in braces and those of elements.
// Their arguments come at once.

struct WholeCallReader: Sendable {
    enum Syntax: Sendable {
        case python(mayBeCode: Bool)
        case braces(quote: [UInt8])
        case elements(separator: [UInt8])
    }

    private let syntax: Syntax
    private let markers: MarkerPair
    private let tools: ToolSchemas
    private let keptBytesMax: Int
    private var text: [UInt8] = []

    init(_ syntax: Syntax, in markers: MarkerPair, tools: ToolSchemas, keptBytesMax: Int) {
        self.syntax = syntax
        self.markers = markers
        self.tools = tools
        self.keptBytesMax = keptBytesMax
    }

    /// Whether what is not finished at the answer's end is text, not half a call.
    var isTextUnlessFinished: Bool {
        guard case .python(mayBeCode: true) = syntax else { return false }
        return !beginsWithTool(mayBePart: false)
    }

    /// Whether the text begins with a call of a tool that there is, or is a part of such a
    /// beginning.
    private func beginsWithTool(mayBePart: Bool) -> Bool {
        let start = text.drop { $0.isSpace || $0 == UInt8(ascii: "[") }
        guard let end = start.firstIndex(of: UInt8(ascii: "(")) else {
            return mayBePart && (start.isEmpty || tools.hasName(beginning: start))
        }
        return CallName.read(Array(start[..<end])).map(tools.has) ?? false
    }

    /// A special token's text that means something within calls.
    private var keptMarker: [UInt8] {
        switch syntax {
        case .braces(let quote): quote
        case .elements(let separator): separator
        case .python: []
        }
    }

    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> CallStep {
        guard let unit = input.first else {
            // The end of what a model says may be in the marker's place.
            guard input.isFinal, !text.isEmpty else { return .wait }
            return give(&output) ? .ended : .wait
        }
        let (match, place) = input.match(anyOf: [markers.end, markers.begin])
        switch match {
        case .partial: return .wait
        case .full:
            // Where another begins this is none: nothing is read again more than once.
            guard place == 0, give(&output) else { return .failed }
            input.drop(markers.end.count)
            input.release()
            return .ended
        case .none:
            guard text.count < keptBytesMax else { return .failed }
            if AnswerInput.isSpecial(unit), input.match(keptMarker) == .full {
                text += keptMarker
                input.drop(keptMarker.count)
                return .more
            }
            if !AnswerInput.isSpecial(unit) { text.append(AnswerInput.byte(unit)) }
            input.drop()
            if case .python(mayBeCode: true) = syntax, text.count <= CallLimits.nameBytesMax,
                !beginsWithTool(mayBePart: true)
            {
                return .failed
            }
            return .more
        }
    }

    private mutating func give(_ output: inout AnswerOutput) -> Bool {
        let calls: [WholeCall]?
        switch syntax {
        case .python: calls = PythonCalls.read(text)
        case .braces(let quote): calls = BraceCalls.read(text, quote: quote)
        case .elements(let separator):
            calls = ElementCalls.read(text, separator: separator, tools: tools)
        }
        guard let calls, !calls.isEmpty else { return false }
        if case .python(mayBeCode: true) = syntax, !calls.allSatisfy({ tools.has($0.name) }) {
            return false
        }
        text = []
        for call in calls {
            output.beginCall(call.name)
            output.arguments(call.arguments)
            output.endCall()
        }
        return true
    }
}

/// A call that was read.
struct WholeCall: Equatable {
    var name: String
    /// The JSON of an object.
    var arguments: [UInt8]
}

/// Goes through a text that is complete.
struct TextScanner {
    /// Deepest nesting of values.
    static let depthMax = 64

    let bytes: [UInt8]
    var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var byte: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte, byte.isSpace { position += 1 }
    }

    /// Whether `text` is next; it is then behind.
    mutating func take(_ text: [UInt8]) -> Bool {
        guard bytes[position...].starts(with: text) else { return false }
        position += text.count
        return true
    }

    mutating func take(_ character: Character) -> Bool {
        take(Array(String(character).utf8))
    }

    /// What comes before any of `ends`, or before the end.
    mutating func take(until ends: Set<UInt8>) -> [UInt8] {
        let start = position
        while let byte, !ends.contains(byte) { position += 1 }
        return Array(bytes[start..<position])
    }
}
