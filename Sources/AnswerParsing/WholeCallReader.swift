// Calls that are read when they are complete: Python's calls, and those in braces. Their arguments
// come at once.

struct WholeCallReader: Sendable {
    enum Syntax: Sendable {
        case python
        case braces(quote: [UInt8])
    }

    private let syntax: Syntax
    private let markers: MarkerPair
    private var text: [UInt8] = []

    init(_ syntax: Syntax, in markers: MarkerPair) {
        self.syntax = syntax
        self.markers = markers
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
            guard text.count < CallLimits.keptBytesMax else { return .failed }
            if AnswerInput.isSpecial(unit), case .braces(let quote) = syntax,
                input.match(quote) == .full
            {
                text += quote
                input.drop(quote.count)
                return .more
            }
            if !AnswerInput.isSpecial(unit) { text.append(AnswerInput.byte(unit)) }
            input.drop()
            return .more
        }
    }

    private mutating func give(_ output: inout AnswerOutput) -> Bool {
        let calls: [WholeCall]?
        switch syntax {
        case .python: calls = PythonCalls.read(text)
        case .braces(let quote): calls = BraceCalls.read(text, quote: quote)
        }
        guard let calls, !calls.isEmpty else { return false }
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
