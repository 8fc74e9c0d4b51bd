// From the tokens of an answer to its parts: bytes to characters, up to the first stop string, and
// taken apart where the model's style is known.

package import AnswerParsing
package import ModelFormat
package import Tokenization

/// An answer on its way out.
package struct AnswerStream {
    private let tokenizer: Tokenizer
    private let allowsParallelCalls: Bool
    private var decoder = StreamDecoder()
    private var stops: StopMatcher
    private var parser: AnswerParser?
    /// Whether a call has ended.
    package private(set) var hasCalled = false
    /// The one call that may be made was made.
    package private(set) var isComplete = false

    /// - Parameters:
    ///   - plan: how it is taken apart; nil is not at all.
    ///   - allowsParallelCalls: whether it may go on after a call.
    package init(
        _ tokenizer: Tokenizer, stopStrings: [String], plan: AnswerPlan?, allowsParallelCalls: Bool
    ) {
        self.tokenizer = tokenizer
        self.allowsParallelCalls = allowsParallelCalls
        stops = StopMatcher(stopStrings)
        parser = plan.map { AnswerParser($0, seed: .random(in: 0 ... .max)) }
    }

    /// What a token completes, and whether a stop string ends the answer here.
    package mutating func append(_ token: TokenID) -> (parts: [AnswerPart], isStopped: Bool) {
        let bytes = tokenizer.bytes(of: token)
        if bytes.isEmpty, let markers = parser?.tokens {
            let text = tokenizer.text(token)
            if markers.contains(text) { return append(marker: text) }
        }
        let (text, isStopped) = stops.append(decoder.append(bytes))
        return (parts(of: text), isStopped)
    }

    /// A special token that is a marker. It ends characters and stop strings that have begun.
    private mutating func append(marker: String) -> (parts: [AnswerPart], isStopped: Bool) {
        let (text, isStopped) = stops.append(decoder.finish())
        guard !isStopped else { return (parts(of: text), true) }
        let before = parts(of: text + stops.finish())
        guard !isComplete else { return (before, false) }
        return (before + noted(parser?.append(token: marker) ?? []), false)
    }

    private mutating func parts(of text: String) -> [AnswerPart] {
        guard !text.isEmpty else { return [] }
        guard parser != nil else { return [.content(text)] }
        return noted(parser?.append(text) ?? [])
    }

    /// The stop string that ended it.
    package var stopString: String? { stops.matched }

    /// What is left when nothing follows.
    ///
    /// - Parameter flushes: whether text that might have begun a stop string is text.
    package mutating func finish(flushes: Bool) -> [AnswerPart] {
        guard !isComplete else { return [] }
        var rest: [AnswerPart] = []
        if flushes {
            let (text, isStopped) = stops.append(decoder.finish())
            rest = parts(of: isStopped ? text : text + stops.finish())
        }
        guard !isComplete else { return rest }
        return rest + noted(parser?.finish() ?? [])
    }

    /// Notes calls that ended; what follows the only one is left out.
    private mutating func noted(_ parts: [AnswerPart]) -> [AnswerPart] {
        for (place, part) in parts.enumerated() {
            guard case .callEnded = part else { continue }
            hasCalled = true
            if !allowsParallelCalls {
                isComplete = true
                return Array(parts[...place])
            }
        }
        return parts
    }
}
