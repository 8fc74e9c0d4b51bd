// Styles of answers: how thoughts and calls begin and end, and how a call's name and arguments are
// written. A style is found in a chat template's text by its markers, never by a model's name.

/// Texts around something.
package struct MarkerPair: Sendable, Equatable {
    let begin: [UInt8]
    let end: [UInt8]

    init(_ begin: String, _ end: String) {
        self.begin = Array(begin.utf8)
        self.end = Array(end.utf8)
    }
}

/// How a model writes its thoughts and its calls.
package struct AnswerStyle: Sendable, Equatable {
    /// How calls are written.
    enum Calls: Sendable, Equatable {
        /// `{"name": ..., "arguments": {...}}` between markers.
        case json(MarkerPair)
        /// The same, with `parameters`, as the whole answer; perhaps after a marker.
        case bareJSON(marker: [UInt8])
        /// A name, and after a separator the arguments' JSON.
        case named(NamedSyntax)
        /// A name and each argument between tags.
        case tagged(TaggedSyntax)
        /// Python's calls between markers; where code may be there, too, only calls of tools that
        /// there are count.
        case python(MarkerPair, mayBeCode: Bool = false)
        /// An element for each call and for each argument, down to what is in lists and objects;
        /// before each of their tags is a separator.
        case elements(MarkerPair, separator: [UInt8])
        /// `call:NAME{key:value}` between markers, with a marker for quotes.
        case braces(MarkerPair, quote: [UInt8])
        /// Messages to a recipient in channels, which are how everything is written.
        case channels
        /// Messages that begin with a marker and a line that says to whom, likewise.
        case recipients(marker: [UInt8])
    }

    /// How thoughts are written; nil where the style says nothing of them, or `calls` does.
    let reasoning: MarkerPair?
    /// Whether thoughts may also come after something was said.
    let reasonsAnywhere: Bool
    let calls: Calls?
    /// Another way in which the same models write calls.
    let otherCalls: Calls?
    /// Texts of special tokens that the parser has to see.
    package let tokens: Set<String>
    /// Markers that mean nothing by themselves: around several calls.
    let dropped: [[UInt8]]
    /// Markers around what is said.
    let wrappers: [[UInt8]]

    init(
        reasoning: MarkerPair?, reasonsAnywhere: Bool = false, calls: Calls?,
        otherCalls: Calls? = nil, tokens: Set<String>, dropped: [String] = [],
        wrappers: [String] = []
    ) {
        self.reasoning = reasoning
        self.reasonsAnywhere = reasonsAnywhere
        self.calls = calls
        self.otherCalls = otherCalls
        self.tokens = tokens
        self.dropped = dropped.map { Array($0.utf8) }
        self.wrappers = wrappers.map { Array($0.utf8) }
    }

    /// Whether answers have to be taken apart also where nothing can be called.
    package var dividesEveryAnswer: Bool {
        switch calls {
        case .channels, .recipients: true
        default: reasoning != nil
        }
    }

    /// Whether thoughts may go over into a call without their end.
    var callsEndReasoning: Bool {
        switch calls {
        case .tagged: true
        case .named(let syntax): syntax.namesAreIDs
        default: false
        }
    }

    /// Whether it says how calls are written.
    package var hasCalls: Bool { calls != nil }

    /// Whether thoughts, which `prompt` may end with the beginning of, are open where it ends.
    package func isOpen(at prompt: some BidirectionalCollection<UInt8>) -> Bool {
        guard let reasoning else { return false }
        let end = prompt.reversed().drop { $0.isSpace }
        return end.starts(with: reasoning.begin.reversed())
    }

    /// Ids of calls have this form: some templates take no other.
    var hasShortIDs: Bool {
        if case .named(let syntax) = calls { syntax.hasShortIDs } else { false }
    }
}

/// A name, a separator, the arguments as JSON.
package struct NamedSyntax: Sendable, Equatable {
    let begin: [UInt8]
    /// After the arguments; empty where nothing is.
    let end: [UInt8]
    /// What ends the name.
    let nameEnds: [[UInt8]]
    /// What an id is between, after the name; none where there are no ids.
    var idBegin: [UInt8]?
    /// Whether JSON objects may be in the name's place: the style's oldest form.
    var allowsJSON = false
    var hasShortIDs = false
    /// Whether the name is within an id, `functions.NAME:NUMBER`.
    var namesAreIDs = false
    /// Whether only an object for a tool that there is makes a call: `begin` may be text.
    var isStrict = false
}

/// Tags around a name and around each argument.
package struct TaggedSyntax: Sendable, Equatable {
    /// Around one or more calls.
    let block: MarkerPair
    /// Before the name; empty where the block's beginning is.
    let functionBegin: [UInt8]
    /// After the name.
    let nameEnds: [[UInt8]]
    /// After the last argument; empty where the block's end is.
    let functionEnd: [UInt8]
    let keyBegin: [UInt8]
    /// After the key, any of them.
    let keyEnds: [KeyEnd]
    /// After the key's end and before the value; empty where they are the same.
    let valueBegin: [UInt8]
    let valueEnd: [UInt8]

    /// What ends a key, and what it says of the value; nil is nothing.
    struct KeyEnd: Sendable, Equatable {
        let marker: [UInt8]
        var kind: ToolSchemas.Kind?
    }

    /// - Parameter typedKeyEnds: further ends of keys, of values that are texts or JSON.
    init(
        block: MarkerPair, functionBegin: String, nameEnds: [String], functionEnd: String,
        key: MarkerPair, typedKeyEnds: (text: String, json: String)? = nil, value: MarkerPair
    ) {
        self.block = block
        self.functionBegin = Array(functionBegin.utf8)
        self.nameEnds = nameEnds.map { Array($0.utf8) }
        self.functionEnd = Array(functionEnd.utf8)
        keyBegin = key.begin
        var keyEnds = [KeyEnd(marker: key.end)]
        if let typedKeyEnds {
            keyEnds.append(KeyEnd(marker: Array(typedKeyEnds.text.utf8), kind: .text))
            keyEnds.append(KeyEnd(marker: Array(typedKeyEnds.json.utf8), kind: .any))
        }
        self.keyEnds = keyEnds
        (valueBegin, valueEnd) = (value.begin, value.end)
    }

    /// Whether a value has a line break before and after it.
    var hasLines: Bool { valueBegin.isEmpty && keyEnds.count == 1 }
}

extension UInt8 {
    /// White space as JSON has it.
    var isSpace: Bool { self == 0x20 || self == 0x0A || self == 0x0D || self == 0x09 }
}
