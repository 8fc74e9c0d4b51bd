// What can be wrong with a vocabulary. Every message is one line, shown to users as it is.

package import LinuxSystem

/// Why a tokenizer cannot be made from what a model file holds.
package enum TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// `tokenizer.ggml.pre` names a way of splitting text that Sluice does not have.
    case unknownPreTokenizer(String)
    /// The vocabulary has no tokens, or more than a token id can number.
    case tokenCount(Int)
    /// A per-token list has another length than the token list.
    case listLength(name: String, count: Int, tokens: Int)
    /// A token of the byte kind whose text is not `<0xNN>`.
    case malformedByteToken(index: Int, text: String)
    /// The vocabulary asks for a token at the beginning or the end, and names none.
    case missingSpecialToken(flag: String, token: String)

    package var description: String {
        switch self {
        case .unknownPreTokenizer(let name):
            let known = PreTokenizer.knownNames.joined(separator: ", ")
            return "unknown pre-tokenizer '\(printable(name))'; known: \(known)"
        case .tokenCount(let count):
            return "vocabulary: expected 1 to \(Int32.max) tokens, found \(count)"
        case .listLength(let name, let count, let tokens):
            return "vocabulary: expected \(tokens) \(name), one per token, found \(count)"
        case .malformedByteToken(let index, let text):
            return "vocabulary: byte token \(index): expected <0xNN>, found '\(printable(text))'"
        case .missingSpecialToken(let flag, let token):
            return "vocabulary: \(flag) is true, but \(token) is not set"
        }
    }

}

/// The beginning of outside text, with control characters made visible, for one-line messages.
func printable(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(40) {
        let isControl = scalar.properties.generalCategory == .control
        result += isControl ? scalar.escaped(asASCII: true) : String(scalar)
    }
    return text.unicodeScalars.count > 40 ? result + "..." : result
}

extension TokenizerError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}
