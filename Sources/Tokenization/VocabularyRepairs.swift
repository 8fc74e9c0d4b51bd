// Vocabularies that contradict themselves, as some converters write them. What is decided is said.

package import ModelFormat

extension Vocabulary {
    /// llama.cpp's beginning and end of a text where a file with byte-level BPE names none.
    private static let usualToken = 11

    /// The vocabulary as it is read.
    ///
    /// - Returns: also what was decided, a few words each.
    package func repaired() -> (vocabulary: Vocabulary, repairs: [String]) {
        var vocabulary = self
        var repairs = vocabulary.repairFlags()
        if let words = duplicates() { repairs.append(words) }
        return (vocabulary, repairs)
    }

    /// A token that is to be added to texts, and is none.
    private mutating func repairFlags() -> [String] {
        var repairs: [String] = []
        let flags: [(String, WritableKeyPath<SpecialTokens, Bool?>, String, TokenPath, Int)] = [
            ("add_bos_token", \.addsBeginning, "bos_token_id", \.beginning, 1),
            ("add_eos_token", \.addsEnd, "eos_token_id", \.end, 2)
        ]
        for (flag, isSet, key, token, usual) in flags
        where special[keyPath: isSet] == true && special[keyPath: token] == nil {
            // SentencePiece's customary ones are found without being named.
            if model == .sentencePiece, usual < tokens.count { continue }
            let number = Self.usualToken
            if model == .bytePairEncoding, kinds.indices.contains(number),
                kinds[number] == .control
            {
                special[keyPath: token] = TokenID(number)
                repairs.append("\(key) is \(number), '\(text(number))', as where none is named")
            } else {
                special[keyPath: isSet] = false
                repairs.append("\(flag) is false: there is no \(key)")
            }
        }
        return repairs
    }

    private typealias TokenPath = WritableKeyPath<SpecialTokens, TokenID?>

    private func text(_ index: Int) -> String {
        printable(String(decoding: tokens[index], as: UTF8.self))
    }

    /// Which tokens no text becomes, because later ones have the same texts.
    private func duplicates() -> String? {
        var count = 0
        var example: (first: Int, second: Int)?
        _ = TextTable(tokens) { first, second in
            count += 1
            example = example ?? (first, second)
        }
        guard let example else { return nil }
        let rest = count > 1 ? ", and \(count - 1) more like it" : ""
        return "'\(text(example.second))' is token \(example.second), not \(example.first)"
            + " of the same text" + rest
    }
}
