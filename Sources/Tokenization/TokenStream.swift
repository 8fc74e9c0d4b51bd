// Text to tokens piece by piece: what can no longer change is encoded and forgotten, so that memory
// depends on the longest stretch that nothing divides, never on the text.

package import LinuxSystem
package import ModelFormat

/// A text has a stretch that nothing divides, longer than there is room for.
package struct UnbrokenTextError: Error, Equatable, Sendable, CustomStringConvertible {
    package let bytesMax: Int

    package var description: String {
        "the text has a stretch of more than \(bytesMax) bytes that the tokenizer cannot divide"
    }
}

/// Tokens of a text that arrives in pieces: those of the whole text, wherever it is cut.
package struct TokenStream {
    /// Bytes that are encoded at a time where nobody says otherwise.
    package static let windowBytes = 2 << 10
    /// What a byte of a stretch that nothing divides takes while it is encoded, at most.
    private static let workBytesPerByte = 64

    private let tokenizer: Tokenizer
    private let addsSpecial: Bool
    private let unbrokenBytesMax: Int
    private let windowBytes: Int
    /// What is not encoded yet.
    private var text: [UInt8] = []
    /// The parts of it that are template text, ascending.
    private var controlRanges: [Range<Int>] = []
    /// Bytes of text that are worth an attempt to encode some.
    private var attemptBytes: Int
    private var followsToken = true
    /// The tokens so far. Whoever takes them away keeps memory bounded.
    package var tokens: [TokenID] = []

    /// - Parameters:
    ///   - unbrokenBytesMax: bounds what is held; see ``workBytes(unbrokenBytesMax:)``.
    ///   - windowBytes: bytes that are encoded at a time. The tokens do not depend on it.
    package init(
        _ tokenizer: Tokenizer, addSpecial: Bool, unbrokenBytesMax: Int = .max,
        windowBytes: Int = windowBytes
    ) {
        self.tokenizer = tokenizer
        self.windowBytes = windowBytes
        attemptBytes = windowBytes
        addsSpecial = addSpecial
        // An escaped space is three bytes in SentencePiece.
        self.unbrokenBytesMax =
            tokenizer.escapesSpaces ? unbrokenBytesMax / 2 : unbrokenBytesMax
        if addSpecial, let beginning = tokenizer.addedBeginning { tokens.append(beginning) }
    }

    /// Bytes of memory that a stream needs beside its tokens.
    package static func workBytes(unbrokenBytesMax: Int) -> Int {
        (unbrokenBytesMax + windowBytes) * workBytesPerByte
    }

    /// Appends a piece of text, which may end inside a character.
    ///
    /// - Parameter isTemplate: whether control tokens are meant where their texts occur.
    /// - Throws: `UnbrokenTextError`.
    package mutating func append(
        _ bytes: some Collection<UInt8>, isTemplate: Bool
    ) throws(UnbrokenTextError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(windowBytes)
            rest = rest.dropFirst(piece.count)
            let start = text.count
            text.append(contentsOf: piece)
            if isTemplate { addControlRange(start..<text.count) }
            if text.count < attemptBytes { continue }
            encode(isOpen: true)
            guard text.count <= unbrokenBytesMax else {
                throw UnbrokenTextError(bytesMax: unbrokenBytesMax)
            }
            // Text that stays is split again each time: as often as it doubles.
            attemptBytes = max(windowBytes, min(2 * text.count, unbrokenBytesMax))
        }
    }

    /// The text is complete: encodes what is left of it.
    package mutating func finish() {
        encode(isOpen: false)
        if addsSpecial, let end = tokenizer.addedEnd { tokens.append(end) }
    }

    private mutating func addControlRange(_ range: Range<Int>) {
        if let last = controlRanges.last, last.upperBound == range.lowerBound {
            controlRanges[controlRanges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            controlRanges.append(range)
        }
    }

    private mutating func encode(isOpen: Bool) {
        let fragments = tokenizer.specialTokens.fragments(
            text, controlRanges: controlRanges, isOpen: isOpen)
        var done = 0
        for (index, fragment) in fragments.enumerated() {
            switch fragment {
            case .token(let token, let range):
                tokens.append(token)
                followsToken = true
                done = range.upperBound
            case .text(let range):
                let encoded = tokenizer.encode(
                    text[range], followsToken: followsToken,
                    isOpen: isOpen && index == fragments.count - 1, into: &tokens)
                if encoded > 0 { followsToken = false }
                done = range.lowerBound + encoded
            }
        }
        text.removeFirst(done)
        controlRanges = controlRanges.compactMap { range in
            let end = range.upperBound - done
            return end > 0 ? max(0, range.lowerBound - done)..<end : nil
        }
    }
}

extension UnbrokenTextError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}
