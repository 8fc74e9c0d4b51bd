// A chat's prompt: its messages and tools as the model's template takes them, and how the answer to
// it will be written.

internal import AnswerParsing
internal import ChatTemplates
internal import GenerationAPI
internal import JSON
internal import LinuxSystem
internal import ModelFormat
internal import Tokenization

extension PromptBuilder {
    /// The conversation as the model's template writes it, without the token that is put before
    /// every text.
    func render(
        _ messages: [ChatMessage], _ order: GenerationOrder,
        _ isCancelled: @escaping () -> Bool
    ) throws(GenerationError) -> RenderedChat {
        let parameter = order.prompt.parameter
        let source = try source(messages, order)
        let template: ChatTemplate
        do {
            template = try ChatTemplate(source)
        } catch {
            throw GenerationError(.templateUnsupported, "\(error)", parameter: parameter)
        }
        let style = AnswerStyle(template: source ?? "")
        try Self.checkTools(order, messages, template, style)
        let byteCount = messages.reduce(0) { $0 + $1.byteCount }
        try context.check(tokensMin: tokenizer.tokensMin(byteCount: byteCount), parameter)
        let clock = JinjaClock(secondsSince1970: WallClock.secondsSince1970)
        let limits = JinjaLimits(
            inputBytes: byteCount + (order.templateArguments?.utf8.count ?? 0)
                + (order.tools?.utf8.count ?? 0),
            outputBytesMax: outputBytesMax)
        var conversation = ChatConversation(
            messages: Self.values(
                of: messages, for: template, source ?? "", limits: limits, clock: clock))
        if let tools = order.tools {
            conversation.tools = try Self.value(ofJSON: tools, parameter: "tools")
        }
        conversation.beginningToken = tokenizer.text(tokenizer.vocabularySpecial.beginning)
        conversation.endToken = tokenizer.text(tokenizer.vocabularySpecial.end)
        conversation.arguments = try Self.variables(order.templateArguments)
        do {
            let text = try template.render(conversation, limits: limits, clock: clock) {
                progress?.note()
                return isCancelled()
            }
            let plan = style.flatMap { self.plan($0, order.tools, text) }
            let own = tokenizer.addedBeginning == nil ? "" : conversation.beginningToken
            return RenderedChat(
                text: text.dropping(prefix: own), plan: plan, template: source ?? "")
        } catch {
            throw GenerationError(error, parameter, context)
        }
    }

    /// The template that the order names, or else the one that its conversation takes.
    private func source(
        _ messages: [ChatMessage], _ order: GenerationOrder
    ) throws(GenerationError) -> String? {
        guard let name = order.templateName else {
            return templates.source(
                hasTools: order.tools != nil || messages.contains(where: \.isAboutTools))
        }
        guard let source = templates.source(named: name) else {
            let parameter = "chat_template"
            throw GenerationError(
                .invalidRequest, "\(parameter): no template '\(name)'; \(templates.choices)",
                parameter: parameter)
        }
        return source
    }

    /// How the answer to `prompt` is taken apart; nil where there is nothing to take apart.
    private func plan(
        _ style: AnswerStyle, _ tools: String?, _ prompt: MarkedText
    ) -> AnswerPlan? {
        let json = tools.flatMap { try? JSONParser.parse(Array($0.utf8)) }
        guard json != nil || style.dividesEveryAnswer else { return nil }
        // What users wrote begins nothing.
        let last = prompt.runs().last
        let isOpen = last.map { !$0.isOutside && style.isOpen(at: prompt.bytes[$0.range]) }
        return AnswerPlan(
            style: style, tools: json.map { ToolSchemas($0) }, beginsInReasoning: isOpen ?? false,
            keptBytesMax: CallLimits.keptBytesMax(contextTokens: context.tokens))
    }

    /// Refuses tools where the model was not taught any, or in a way that is not known here.
    private static func checkTools(
        _ order: GenerationOrder, _ messages: [ChatMessage], _ template: ChatTemplate,
        _ style: AnswerStyle?
    ) throws(GenerationError) {
        if order.tools != nil {
            guard template.knowsTools else {
                throw GenerationError(
                    .templateUnsupported, "tools: the model's chat template knows no tools",
                    parameter: "tools")
            }
            guard style?.hasCalls == true else {
                throw GenerationError(
                    .templateUnsupported,
                    "tools: how the model writes calls is not known here, by its chat template",
                    parameter: "tools")
            }
        }
        if let index = messages.firstIndex(where: \.isAboutTools), !template.knowsCalls {
            throw GenerationError(
                .templateUnsupported,
                "messages[\(index)]: the model's chat template knows no tools",
                parameter: "messages")
        }
    }

    /// More bytes than a text that fits the context can have.
    private var outputBytesMax: Int {
        let sample = 1 << 40
        let tokens = tokenizer.tokensMin(byteCount: sample)
        return tokens == 0 ? 1 << 30 : (context.tokens + 2) * (sample / tokens + 1)
    }

    private static func variables(
        _ arguments: String?
    ) throws(GenerationError) -> [(name: String, value: JinjaValue)] {
        guard let arguments else { return [] }
        let parameter = "chat_template_kwargs"
        guard case .dictionary(let members) = try value(ofJSON: arguments, parameter: parameter)
        else {
            throw GenerationError(
                .invalidRequest, "\(parameter): expected an object", parameter: parameter)
        }
        return members.members.compactMap { key, value in
            if case .string(let name) = key { (name.string, value) } else { nil }
        }
    }

    private static func value(
        ofJSON text: String, parameter: String
    ) throws(GenerationError) -> JinjaValue {
        do {
            return try JinjaValue(json: Array(text.utf8))
        } catch {
            throw GenerationError(.invalidRequest, "\(parameter): \(error)", parameter: parameter)
        }
    }

    // MARK: messages

    private static func values(
        of messages: [ChatMessage], for template: ChatTemplate, _ source: String,
        limits: JinjaLimits, clock: JinjaClock
    ) -> [JinjaValue] {
        let hasCalls = messages.contains { !$0.toolCalls.isEmpty }
        let way = ChatToolWriting(
            // The templates' own name for it: one of two.
            reasoningName: source.contains("reasoning_content") || !source.contains("thinking")
                ? "reasoning_content" : "thinking",
            form: hasCalls ? template.callForm(limits: limits, clock: clock) : ChatCallForm())
        var names: [String: String] = [:]
        return messages.map { message in
            for call in message.toolCalls { names[call.id] = call.name }
            var message = message
            if message.name == nil, let id = message.toolCallID { message.name = names[id] }
            return way.value(of: message)
        }
    }
}

/// A chat as a template wrote it.
struct RenderedChat {
    let text: MarkedText
    let plan: AnswerPlan?
    /// The template's own text.
    let template: String
}

/// How messages about tools are given to a template.
private struct ChatToolWriting {
    let reasoningName: String
    let form: ChatCallForm

    func value(of message: ChatMessage) -> JinjaValue {
        let plain = ChatConversation.message(role: message.role, content: message.content)
        guard message.isAboutTools || message.reasoning != nil || message.name != nil,
            case .dictionary(var members) = plain
        else { return plain }
        if let reasoning = message.reasoning {
            members.set(reasoningName, text(reasoning))
            // Templates that say `thinking` take one of both beside calls.
            if reasoningName == "thinking", !message.toolCalls.isEmpty, !reasoning.isEmpty {
                members.set("content", text(""))
            }
        }
        if !message.toolCalls.isEmpty {
            if message.content.isEmpty, !form.hasEmptyContent { members.set("content", .none) }
            members.set("tool_calls", .list(JinjaList(message.toolCalls.map(value))))
        }
        if let id = message.toolCallID { members.set("tool_call_id", text(id)) }
        if let name = message.name { members.set("name", text(name)) }
        return .dictionary(members)
    }

    private func text(_ text: String) -> JinjaValue { .string(MarkedText(text, isOutside: true)) }

    private func value(of call: ToolCall) -> JinjaValue {
        var function = JinjaDictionary()
        function.set("name", text(call.name))
        var arguments = text(call.arguments)
        if !form.argumentsAreText, let object = try? JinjaValue(json: Array(call.arguments.utf8)),
            case .dictionary = object
        {
            arguments = object
        }
        function.set("arguments", arguments)
        var value = JinjaDictionary()
        value.set("id", text(call.id))
        value.set("type", .text("function"))
        value.set("function", .dictionary(function))
        return .dictionary(value)
    }
}

extension ChatMessage {
    /// Whether it calls tools, or is what one answered.
    fileprivate var isAboutTools: Bool { !toolCalls.isEmpty || role == "tool" }

    fileprivate var byteCount: Int {
        toolCalls.reduce(role.utf8.count + content.utf8.count) {
            $0 + $1.name.utf8.count + $1.arguments.utf8.count
        }
    }
}

extension GenerationError {
    /// Why a chat template did not write a prompt.
    fileprivate init(_ error: JinjaError, _ parameter: String, _ context: PromptBuilder.Context) {
        switch error.kind {
        case .raised:
            self.init(
                .invalidRequest, "the model's chat template refuses this: \(error.problem)",
                parameter: parameter)
        case .cancelled: self.init(.cancelled, "the request was cancelled")
        case .output:
            self.init(
                .contextExceeded,
                "the prompt is longer than \(context.tokens) tokens can be (\(context.reason))",
                parameter: parameter)
        case .syntax, .failed, .limit:
            self.init(.templateUnsupported, "\(error)", parameter: parameter)
        }
    }
}
