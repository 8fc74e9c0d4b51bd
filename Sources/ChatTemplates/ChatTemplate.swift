// How a conversation is written for a model. Templates in model files are Jinja programs, which are
// not executed: one is known by a digest of its whole text, and what it renders is written here. A
// template that is merely similar is refused.

package import Tokenization

/// A way of writing conversations that Sluice knows.
///
/// Rendering equals the model's own Jinja template for conversations of system, user and assistant
/// turns, with one difference: Llama 3's templates begin with the beginning token, which
/// `TokenStream` adds, so it is not part of what is rendered here.
package enum ChatTemplate: Sendable, Equatable {
    /// `<|im_start|>role\ncontent<|im_end|>\n`. Some models put a system turn of their own before
    /// conversations that begin with none.
    case chatML(defaultSystem: String? = nil)
    /// Qwen 3's: the thoughts of an assistant's turn, up to `</think>`, are left out where a
    /// question follows, and stand before what it said where none does.
    case chatMLThinking
    /// `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`, contents trimmed. Llama 3.1
    /// and later begin every system turn with a preamble, and have one in every conversation.
    case llama3(systemPreamble: String? = nil)

    package typealias Message = (role: String, content: String)

    /// The way that `jinja`, a model's `tokenizer.chat_template`, writes.
    ///
    /// - Throws: `TokenizerError`, for chat only, where there is none or it is not known.
    package static func match(_ jinja: String?) throws(TokenizerError) -> ChatTemplate {
        guard let jinja, !jinja.isEmpty else { throw .noChatTemplate }
        let digest = digest(jinja)
        guard let known = knownChatTemplates.first(where: { $0.digests.contains(digest) }) else {
            throw .unknownChatTemplate(beginning: String(jinja.prefix(60)))
        }
        return known.way
    }

    /// FNV-1a (64 bits) of a template's text, without what Jinja itself makes no difference of:
    /// kinds of newlines, and one at the end.
    package static func digest(_ jinja: String) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(jinja.utf8.count)
        var last: UInt8 = 0
        for byte in jinja.utf8 {
            if byte == 0x0D || byte == 0x0A && last != 0x0D {
                bytes.append(0x0A)
            } else if byte != 0x0A {
                bytes.append(byte)
            }
            last = byte
        }
        if bytes.last == 0x0A { bytes.removeLast() }
        return bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// The way whose templates have this digest, or nil.
    package static func known(digest: UInt64) -> ChatTemplate? {
        knownChatTemplates.first { $0.digests.contains(digest) }?.way
    }

    /// The texts of the tokens that end a turn.
    package var stopTokens: [String] {
        switch self {
        case .chatML, .chatMLThinking: ["<|im_end|>"]
        case .llama3: ["<|eot_id|>"]
        }
    }

    /// The conversation as one text.
    package func render(messages: [Message], addGenerationPrompt: Bool) -> String {
        var text = ""
        write(messages: messages, addGenerationPrompt: addGenerationPrompt) { text += $0.text }
        return text
    }

    /// Hands out the conversation in pieces, of which roles and contents are outside text: control
    /// tokens written there are only text. No piece is a copy, and none is kept.
    package func write<Failure: Error>(
        messages: [Message], addGenerationPrompt: Bool,
        _ body: (PromptSegment) throws(Failure) -> Void
    ) throws(Failure) {
        func turn(_ role: String, _ contents: [PromptSegment]) throws(Failure) {
            for piece in turnBeginning(role) { try body(piece) }
            for piece in contents { try body(piece) }
            try body(PromptSegment(turnEnd, isTemplate: true))
        }
        func outside(_ text: Substring) -> PromptSegment { PromptSegment(text, isTemplate: false) }
        var turns = messages[...]
        switch self {
        case .chatML(let defaultSystem):
            if let defaultSystem, messages.first?.role != "system" {
                try turn("system", [PromptSegment(defaultSystem, isTemplate: true)])
            }
            for message in turns { try turn(message.role, [outside(message.content[...])]) }
        case .chatMLThinking:
            for (message, shows) in zip(turns, Self.showsThoughts(messages)) {
                try turn(message.role, Self.thinking(message, showsThoughts: shows))
            }
        case .llama3(let systemPreamble):
            if let systemPreamble {
                let system = turns.first?.role == "system" ? turns.removeFirst().content : ""
                let preamble = PromptSegment(systemPreamble, isTemplate: true)
                try turn("system", [preamble, outside(Self.trimmed(system))])
            }
            for message in turns {
                try turn(message.role, [outside(Self.trimmed(message.content))])
            }
        }
        guard addGenerationPrompt else { return }
        for piece in turnBeginning("assistant") { try body(piece) }
    }

    private func turnBeginning(_ role: String) -> [PromptSegment] {
        let (before, after) =
            switch self {
            case .chatML, .chatMLThinking: ("<|im_start|>", "\n")
            case .llama3: ("<|start_header_id|>", "<|end_header_id|>\n\n")
            }
        return [
            PromptSegment(before, isTemplate: true), PromptSegment(role, isTemplate: false),
            PromptSegment(after, isTemplate: true)
        ]
    }

    private var turnEnd: String {
        switch self {
        case .chatML, .chatMLThinking: "<|im_end|>\n"
        case .llama3: "<|eot_id|>"
        }
    }
}

// MARK: - Parts of what a message says

extension ChatTemplate {
    private enum Mark {
        static let begin = Array("<think>".utf8)
        static let end = Array("</think>".utf8)
        static let responseBegin = Array("<tool_response>".utf8)
        static let responseEnd = Array("</tool_response>".utf8)
    }

    /// Which messages come after the last question, so that thoughts are shown, even where there
    /// are none if it is the last message; nil elsewhere.
    private static func showsThoughts(_ messages: [Message]) -> [Bool?] {
        let lastQuestion = messages.lastIndex { message in
            message.role == "user"
                && !(message.content.utf8.starts(with: Mark.responseBegin)
                    && message.content.utf8.reversed().starts(with: Mark.responseEnd.reversed()))
        }
        return messages.enumerated().map { index, message in
            guard message.role == "assistant", index > lastQuestion ?? (messages.count - 1) else {
                return nil
            }
            return index == messages.count - 1
        }
    }

    /// What Qwen 3's template makes of a message's content.
    private static func thinking(_ message: Message, showsThoughts: Bool?) -> [PromptSegment] {
        var content = message.content[...]
        var thoughts = Substring()
        if message.role == "assistant", let first = find(Mark.end, in: content) {
            thoughts = droppingNewlines(content[..<first], atStart: false)
            while let begin = find(Mark.begin, in: thoughts) {
                thoughts = thoughts[after(Mark.begin, at: begin, in: thoughts)...]
            }
            thoughts = droppingNewlines(thoughts, atStart: true)
            while let end = find(Mark.end, in: content) {
                content = content[after(Mark.end, at: end, in: content)...]
            }
            content = droppingNewlines(content, atStart: true)
        }
        guard let showsThoughts, showsThoughts || !thoughts.isEmpty else {
            return [PromptSegment(content, isTemplate: false)]
        }
        thoughts = droppingNewlines(thoughts, atStart: false)
        return [
            PromptSegment("<think>\n", isTemplate: true),
            PromptSegment(thoughts, isTemplate: false),
            PromptSegment("\n</think>\n\n", isTemplate: true),
            PromptSegment(droppingNewlines(content, atStart: true), isTemplate: false)
        ]
    }

    private static func droppingNewlines(_ text: Substring, atStart: Bool) -> Substring {
        var scalars = text.unicodeScalars
        if atStart {
            while scalars.first == "\n" { scalars.removeFirst() }
        } else {
            while scalars.last == "\n" { scalars.removeLast() }
        }
        return Substring(scalars)
    }

    private static func find(_ part: [UInt8], in text: Substring) -> String.Index? {
        let bytes = text.utf8
        var index = bytes.startIndex
        while let candidate = bytes[index...].firstIndex(of: part[0]) {
            if bytes[candidate...].starts(with: part) { return candidate }
            index = bytes.index(after: candidate)
        }
        return nil
    }

    private static func after(
        _ part: [UInt8], at index: String.Index, in text: Substring
    ) -> String.Index { text.utf8.index(index, offsetBy: part.count) }

    /// `text` without white space at its ends, as Jinja's `trim` and Python's `strip` have it.
    private static func trimmed(_ text: String) -> Substring {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            (0x1C...0x1F).contains(scalar.value) || UnicodeClass(scalar.value) == .whitespace
        }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return Substring() }
        return text[first..<scalars.index(after: last)]
    }
}
