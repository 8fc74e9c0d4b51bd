// What a template does with tools, found out by what it asks for and by a trial.

extension ChatTemplate {
    /// Whether tools that may be called mean anything to it.
    package var knowsTools: Bool { template.names.contains("tools") }

    /// Whether calls that were made, and what came of them, mean anything to it.
    package var knowsCalls: Bool { knowsTools || source.contains("tool_calls") }

    /// How messages that call have to be given, by trials; the usual way where none is right.
    package func callForm(limits: JinjaLimits, clock: JinjaClock) -> ChatCallForm {
        for hasContent in [true, false] {
            for isText in [false, true] {
                let form = ChatCallForm(argumentsAreText: isText, hasEmptyContent: hasContent)
                guard let written = trial(form, limits, clock) else { continue }
                // As Python would write a dictionary, it is no JSON.
                if written.contains("needle"), !written.contains("'needle'") { return form }
            }
        }
        return ChatCallForm()
    }

    /// A conversation with one call.
    private func trial(
        _ form: ChatCallForm, _ limits: JinjaLimits, _ clock: JinjaClock
    ) -> String? {
        var object = JinjaDictionary()
        object.set("needle", .text("x"))
        var function = JinjaDictionary()
        function.set("name", .text("trial"))
        function.set(
            "arguments",
            form.argumentsAreText ? .text("{\"needle\": \"x\"}") : .dictionary(object))
        var call = JinjaDictionary()
        call.set("id", .text("abcdefghi"))
        call.set("type", .text("function"))
        call.set("function", .dictionary(function))
        var answer = JinjaDictionary()
        answer.set("role", .text("assistant"))
        answer.set("content", form.hasEmptyContent ? .text("") : .none)
        answer.set("tool_calls", .list(JinjaList([.dictionary(call)])))
        let question = ChatConversation.message(role: "user", content: "x")
        let conversation = ChatConversation(messages: [question, .dictionary(answer)])
        return try? render(conversation, limits: limits, clock: clock).string
    }
}

/// How messages that call are given to a template.
package struct ChatCallForm: Equatable, Sendable {
    /// Arguments are the text of their JSON, not what it says: the template writes them as they
    /// are.
    package var argumentsAreText = false
    /// What says nothing has an empty text for its content, not none.
    package var hasEmptyContent = true

    package init(argumentsAreText: Bool = false, hasEmptyContent: Bool = true) {
        self.argumentsAreText = argumentsAreText
        self.hasEmptyContent = hasEmptyContent
    }
}
