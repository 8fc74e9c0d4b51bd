// What readers of calls have in common: their steps, their limits, what a name may be.

internal import JSON

/// What a reader did, and what is next.
enum CallStep {
    /// It took something, and goes on.
    case more
    /// It has to see more of the text.
    case wait
    /// The call, or the calls between two markers, are over.
    case ended
    /// It was no call: what was read is text.
    case failed
}

/// Limits of what a reader keeps.
package enum CallLimits {
    /// Bytes of a name, a parameter's name or an id.
    static let nameBytesMax = 256
    /// Bytes that are kept until it is clear what they are, at the most.
    package static let keptBytesMost = 256 << 10
    /// For each token of a context: more than tokens of such texts have.
    private static let bytesPerToken = 8
    private static let keptBytesLeast = 4 << 10
    /// What may be read again in an answer because it was no call; after that, calls have to be
    /// certain within a few bytes.
    static let rereadMax = 1 << 20
    static let keptBytesMaxLater = 256

    /// What is kept of answers within `contextTokens`.
    package static func keptBytesMax(contextTokens: Int) -> Int {
        min(keptBytesMost, max(keptBytesLeast, bytesPerToken * contextTokens))
    }

    /// Memory that taking an answer apart takes, at most: what is kept, as units of two bytes in an
    /// array that grows by doubling, as a reader's own text likewise, and as JSON that was read;
    /// and what is known of the tools.
    package static func bytesMax(contextTokens: Int) -> Int {
        8 * keptBytesMax(contextTokens: contextTokens) + ToolSchemas.bytesMax
    }
}

/// Names of functions.
enum CallName {
    /// Whether `unit` may follow the beginning of a name, which has no white space within it.
    static func mayContinue(_ text: [UInt8], _ unit: UInt16) -> Bool {
        guard !AnswerInput.isSpecial(unit), text.count < CallLimits.nameBytesMax else {
            return false
        }
        guard !AnswerInput.byte(unit).isSpace, let last = text.last else { return true }
        return !last.isSpace || text.allSatisfy(\.isSpace)
    }

    /// `text` without white space around it, where that may be a function's name.
    static func read(_ text: [UInt8]) -> String? {
        var slice = text[...]
        while let byte = slice.first, byte.isSpace { slice.removeFirst() }
        while let byte = slice.last, byte.isSpace { slice.removeLast() }
        let others = Set("<>{}[]()\"'`,;".utf8)
        guard !slice.isEmpty, slice.count <= CallLimits.nameBytesMax,
            slice.allSatisfy({ $0 > 0x20 && !others.contains($0) })
        else { return nil }
        return String(decoding: slice, as: UTF8.self)
    }
}

/// Arguments that were collected.
enum CallArguments {
    /// As an object's JSON: nothing is an empty one, and JSON within a string is taken out of it.
    static func read(_ collected: [UInt8]?) -> [UInt8] {
        guard let collected, collected != Array("null".utf8), !collected.isEmpty else {
            return Array("{}".utf8)
        }
        guard case .string(let inner)? = try? JSONParser.parse(collected) else { return collected }
        if case .object? = try? JSONParser.parse(Array(inner.utf8)) { return Array(inner.utf8) }
        return collected
    }
}
