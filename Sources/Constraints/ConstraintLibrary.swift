// Grammars that were compiled for one vocabulary, kept while there is room for them.

internal import ModelFormat
internal import Synchronization
package import Tokenization

/// What an answer is held to, before it is compiled.
package enum ConstraintSource: Sendable, Equatable {
    /// Any JSON object.
    case object
    /// JSON that is valid by a schema.
    case schema(String)
    /// GBNF.
    case grammar(String)
    /// Calls of tools.
    case calls(CallRequest)

    fileprivate func rules(
        isSpecial: (String) -> Bool
    ) throws(ConstraintError) -> RuleSet {
        switch self {
        case .object: try JSONRules.objects()
        case .schema(let text): try SchemaReader.rules(text)
        case .grammar(let text): try GBNFParser.parse(text)
        case .calls(let request): try CallGrammar.rules(request, isSpecial: isSpecial)
        }
    }

    /// What tells it from others.
    fileprivate var digest: [UInt32] {
        let text =
            switch self {
            case .object: "object"
            case .schema(let text): "schema:\(text)"
            case .grammar(let text): "grammar:\(text)"
            case .calls(let request): "calls:\(request.key)"
            }
        var digest = SHA256()
        let bytes = Array(text.utf8)
        digest.add(unsafe bytes.span.bytes)
        return digest.words
    }
}

/// Why there is no grammar.
package enum ConstraintRefusal: Error, Equatable, Sendable {
    case wrong(ConstraintError)
    /// Others have all the room.
    case busy(grammars: Int)
}

/// Compiles, and remembers. Any thread may ask.
package final class ConstraintLibrary: Sendable {
    private struct Entry {
        let digest: [UInt32]
        var grammar: Grammar
    }

    private let tokenizer: Tokenizer
    private let room: ConstraintRoom
    private let index = Mutex<VocabularyIndex?>(nil)
    /// The ones used last at the end.
    private let entries = Mutex<[Entry]>([])

    package init(_ tokenizer: Tokenizer, room: ConstraintRoom) {
        self.tokenizer = tokenizer
        self.room = room
    }

    /// The grammar that a source is, compiled or remembered.
    ///
    /// - Throws: `ConstraintRefusal`
    package func grammar(_ source: ConstraintSource) throws(ConstraintRefusal) -> Grammar {
        let digest = source.digest
        if let known = find(digest) { return known }
        let grammar: Grammar
        do throws(ConstraintError) {
            let automaton = try Automaton(
                try source.rules(isSpecial: isSpecial), bytesMax: room.grammarBytes / 2)
            var tokens: [Int] = []
            for text in automaton.tokens {
                guard let token = tokenizer.token(text) else {
                    throw .rule(name: text, problem: "the model's vocabulary has no such token")
                }
                tokens.append(token.index)
            }
            grammar = Grammar(
                automaton, vocabulary: vocabulary(), tokens: tokens,
                bytesMax: room.grammarBytes - automaton.byteCount, masksMax: room.masks)
        } catch {
            throw .wrong(error)
        }
        return try keep(grammar, digest)
    }

    private func find(_ digest: [UInt32]) -> Grammar? {
        entries.withLock { entries in
            guard let place = entries.firstIndex(where: { $0.digest == digest }) else { return nil }
            let entry = entries.remove(at: place)
            entries.append(entry)
            return entry.grammar
        }
    }

    /// Takes the place of the one that nobody has used for longest.
    private func keep(
        _ grammar: Grammar, _ digest: [UInt32]
    ) throws(ConstraintRefusal) -> Grammar {
        try entries.withLock { entries throws(ConstraintRefusal) in
            if entries.count >= room.grammars {
                let idle = entries.indices.first {
                    isKnownUniquelyReferenced(&entries[$0].grammar)
                }
                guard let idle else { throw .busy(grammars: room.grammars) }
                entries.remove(at: idle)
            }
            entries.append(Entry(digest: digest, grammar: grammar))
            return grammar
        }
    }

    private func vocabulary() -> VocabularyIndex {
        index.withLock { index in
            if let index { return index }
            let made = VocabularyIndex(tokenizer)
            index = made
            return made
        }
    }

    /// Whether a text is a token that no text becomes.
    private func isSpecial(_ text: String) -> Bool {
        tokenizer.token(text).map { tokenizer.bytes(of: $0).isEmpty } ?? false
    }
}
