// How a conversation is written for a model. Templates in model files are Jinja programs; they are
// recognised by their text and never executed. What they render is written here.

/// A way of writing conversations that Sluice knows.
///
/// Rendering equals the model's own Jinja template for conversations of system, user and assistant
/// turns, with one difference: Llama 3's templates begin with the beginning token, which
/// `Tokenizer.encode(_:addSpecial:)` adds, so it is not part of what is rendered here.
package enum ChatTemplate: Sendable, Equatable {
    /// `<|im_start|>role\ncontent<|im_end|>\n`. Some models put a system turn of their own before
    /// conversations that begin with none.
    case chatML(defaultSystem: String? = nil)
    /// `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`, contents trimmed. Llama 3.1
    /// and later begin every system turn with a preamble, and have one in every conversation.
    case llama3(systemPreamble: String? = nil)

    package typealias Message = (role: String, content: String)

    /// The template that `jinja`, a model's `tokenizer.chat_template`, is.
    ///
    /// - Throws: `TokenizerError`, for chat only, where there is none or it is of another kind.
    package static func match(_ jinja: String?) throws(TokenizerError) -> ChatTemplate {
        guard let jinja, !jinja.isEmpty else { throw .noChatTemplate }
        // `<|im_sep|>` is Phi 4's, which is otherwise alike.
        if contains(jinja, "<|im_start|>"), contains(jinja, "<|im_end|>"),
            !contains(jinja, "<|im_sep|>")
        {
            return .chatML(defaultSystem: defaultSystem(jinja))
        }
        if contains(jinja, "<|start_header_id|>"), contains(jinja, "<|end_header_id|>") {
            return .llama3(systemPreamble: systemPreamble(jinja))
        }
        throw .unknownChatTemplate(beginning: String(jinja.prefix(60)))
    }

    /// The texts of the tokens that end a turn.
    package var stopTokens: [String] {
        switch self {
        case .chatML: ["<|im_end|>"]
        case .llama3: ["<|eot_id|>"]
        }
    }

    /// The conversation as one text.
    package func render(messages: [Message], addGenerationPrompt: Bool) -> String {
        segments(messages: messages, addGenerationPrompt: addGenerationPrompt).map(\.text).joined()
    }

    /// The conversation in pieces, of which roles and contents are outside text: control tokens
    /// written there are only text.
    package func segments(messages: [Message], addGenerationPrompt: Bool) -> [PromptSegment] {
        var segments: [PromptSegment] = []
        func turn(_ role: String, _ content: String) {
            segments += turnBeginning(role)
            segments.append(PromptSegment(content, isTemplate: false))
            segments.append(PromptSegment(turnEnd, isTemplate: true))
        }
        var turns = messages[...]
        switch self {
        case .chatML(let defaultSystem):
            if let defaultSystem, messages.first?.role != "system" { turn("system", defaultSystem) }
            for message in turns { turn(message.role, message.content) }
        case .llama3(let systemPreamble):
            if let systemPreamble {
                let system = turns.first?.role == "system" ? turns.removeFirst().content : ""
                turn("system", systemPreamble + Self.trimmed(system))
            }
            for message in turns { turn(message.role, Self.trimmed(message.content)) }
        }
        if addGenerationPrompt { segments += turnBeginning("assistant") }
        return segments
    }

    private func turnBeginning(_ role: String) -> [PromptSegment] {
        let (before, after) =
            switch self {
            case .chatML: ("<|im_start|>", "\n")
            case .llama3: ("<|start_header_id|>", "<|end_header_id|>\n\n")
            }
        return [
            PromptSegment(before, isTemplate: true), PromptSegment(role, isTemplate: false),
            PromptSegment(after, isTemplate: true)
        ]
    }

    private var turnEnd: String {
        switch self {
        case .chatML: "<|im_end|>\n"
        case .llama3: "<|eot_id|>"
        }
    }
}

// MARK: - Reading templates as text

extension ChatTemplate {
    /// The system turn that a ChatML template writes out in full, as Qwen 2 and 2.5 do: the text
    /// between `<|im_start|>system` and `<|im_end|>` inside one literal.
    private static func defaultSystem(_ jinja: String) -> String? {
        let text = unescaped(jinja)
        let opening = Array("<|im_start|>system\n".utf8)
        let closing = Array("<|im_end|>".utf8)
        var start = 0
        while let found = find(opening, in: text, from: start) {
            let begin = found + opening.count
            // A quote or a brace ends the literal.
            let end = text[begin...].firstIndex { [0x22, 0x27, 0x7B, 0x7D].contains($0) }
            let literal = text[begin..<(end ?? text.count)]
            if let length = find(closing, in: Array(literal), from: 0) {
                return String(decoding: literal.prefix(length), as: UTF8.self)
            }
            start = end ?? text.count
        }
        return nil
    }

    /// Llama 3.1's preamble, with the date that its template writes when it is told none. (3.2's
    /// writes the current date where it can, and this one where it cannot.)
    private static func systemPreamble(_ jinja: String) -> String? {
        let cutoff = "Cutting Knowledge Date: December 2023\n"
        let text = unescaped(jinja)
        guard find(Array(cutoff.utf8), in: text, from: 0) != nil,
            find(Array("26 Jul 2024".utf8), in: text, from: 0) != nil
        else { return nil }
        return cutoff + "Today Date: 26 Jul 2024\n\n"
    }

    /// The template's bytes with `\n` in its literals as the newline that it means.
    private static func unescaped(_ jinja: String) -> [UInt8] {
        var bytes: [UInt8] = []
        var isEscaped = false
        for byte in jinja.utf8 {
            if isEscaped {
                bytes += byte == 0x6E ? [0x0A] : [0x5C, byte]
                isEscaped = false
            } else if byte == 0x5C {
                isEscaped = true
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    private static func contains(_ text: String, _ part: String) -> Bool {
        find(Array(part.utf8), in: Array(text.utf8), from: 0) != nil
    }

    private static func find(_ part: [UInt8], in text: [UInt8], from start: Int) -> Int? {
        guard text.count >= part.count + start else { return nil }
        return (start...(text.count - part.count)).first { text[$0...].starts(with: part) }
    }

    /// `text` without white space at its ends, as Jinja's `trim` and Python's `strip` have it.
    private static func trimmed(_ text: String) -> String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            (0x1C...0x1F).contains(scalar.value) || UnicodeClass(scalar.value) == .whitespace
        }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(scalars[first...last])
    }
}
