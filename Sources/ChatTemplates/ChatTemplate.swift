// A model's own chat template, executed: conversations to the texts that the model was trained on.

package import LinuxSystem

/// Why a conversation cannot be written for a model.
package enum ChatTemplateError: Error, Equatable, Sendable, CustomStringConvertible {
    case missing
    /// The template cannot be read.
    case unreadable(JinjaError)

    package var description: String {
        switch self {
        case .missing: "the model has no chat template, so it cannot chat; completion works"
        case .unreadable(let error): "\(error), so the model cannot chat; completion works"
        }
    }
}

/// What a template is given.
package struct ChatConversation {
    /// Dictionaries of `role`, `content` and what else messages have.
    package var messages: [JinjaValue]
    package var tools: JinjaValue = .none
    /// Whether the text ends where the model's answer begins.
    package var addsGenerationPrompt = true
    /// The texts of the tokens that begin and end texts; empty where there is none.
    package var beginningToken = ""
    package var endToken = ""
    /// Further variables, such as `enable_thinking`; they win over those above.
    package var arguments: [(name: String, value: JinjaValue)] = []

    package init(messages: [JinjaValue]) { self.messages = messages }

    /// Whether there is a tool to call.
    package var hasTools: Bool {
        if case .list(let list) = tools { !list.elements.isEmpty } else { false }
    }

    /// Roles that templates know. They are names, nobody's text: templates make tokens of them,
    /// such as `<|user|>`.
    private static let roles: Set<String> = [
        "system", "developer", "user", "assistant", "tool", "function", "ipython"
    ]

    /// A message whose content came from outside.
    package static func message(role: String, content: String) -> JinjaValue {
        var message = JinjaDictionary()
        message.set("role", .string(MarkedText(role, isOutside: true)))
        message.set("content", .string(MarkedText(content, isOutside: true)))
        return named(.dictionary(message))
    }

    /// `message` with its role as a name, where it is one.
    package static func named(_ message: JinjaValue) -> JinjaValue {
        guard case .dictionary(var members) = message, case .string(let role)? = members["role"],
            roles.contains(role.string)
        else { return message }
        members.set("role", .string(MarkedText(role.string)))
        return .dictionary(members)
    }

    var variables: [(name: String, value: JinjaValue)] {
        let own: [(name: String, value: JinjaValue)] = [
            ("messages", .list(messages)), ("tools", tools),
            ("add_generation_prompt", .boolean(addsGenerationPrompt)),
            ("bos_token", .text(beginningToken)), ("eos_token", .text(endToken))
        ]
        return own.filter { variable in !arguments.contains { $0.name == variable.name } }
            + arguments
    }

    /// With the first message, of the system, put before what the next, of a user, says: for
    /// templates that know no system. nil where that is not how the conversation begins.
    var withSystemInUserTurn: ChatConversation? {
        guard messages.count > 1, let system = Self.content(messages[0], of: "system"),
            let question = Self.content(messages[1], of: "user"),
            case .dictionary(var turn) = messages[1]
        else { return nil }
        var content = system
        content.append("\n\n")
        content.append(question)
        turn.set("content", .string(content))
        var conversation = self
        conversation.messages.replaceSubrange(0..<2, with: [.dictionary(turn)])
        return conversation
    }

    private static func content(_ message: JinjaValue, of role: String) -> MarkedText? {
        guard case .dictionary(let members) = message, members["role"]?.text?.string == role else {
            return nil
        }
        return members["content"]?.text
    }
}

/// A model's way of writing conversations.
package struct ChatTemplate {
    let template: JinjaTemplate
    let source: String

    /// - Parameter jinja: a model's `tokenizer.chat_template`.
    /// - Throws: `ChatTemplateError`, for chat only.
    package init(_ jinja: String?) throws(ChatTemplateError) {
        guard let jinja, !jinja.isEmpty else { throw .missing }
        source = jinja
        do {
            template = try JinjaTemplate(jinja)
        } catch {
            throw .unreadable(error)
        }
    }

    /// The conversation as one text, which says of each byte whether it came from outside: control
    /// tokens written there are only text.
    ///
    /// - Parameter isCancelled: asked every few thousand steps.
    /// - Throws: `JinjaError`, also where the template refuses the conversation.
    package func render(
        _ conversation: ChatConversation, limits: JinjaLimits, clock: JinjaClock,
        isCancelled: @escaping () -> Bool = { false }
    ) throws(JinjaError) -> MarkedText {
        do {
            return try template.render(
                conversation.variables, limits: limits, clock: clock, isCancelled: isCancelled)
        } catch {
            guard error.kind == .raised, let merged = conversation.withSystemInUserTurn,
                let text = try? template.render(
                    merged.variables, limits: limits, clock: clock, isCancelled: isCancelled)
            else { throw error }
            return text
        }
    }
}

extension ChatTemplateError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}

extension JinjaError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}
