// What an answer is held to: a grammar of its order's own, or of the tools that it has to call.

internal import AnswerParsing
package import Constraints
package import GenerationAPI
internal import LinuxSystem
internal import Tokenization

extension PromptBuilder {
    /// - Parameters:
    ///   - plan: how the answer is taken apart.
    ///   - template: the chat template's text.
    /// - Throws: `GenerationError` where the order asks for what cannot be kept here.
    func constraint(
        _ order: GenerationOrder, plan: AnswerPlan?, template: String
    ) throws(GenerationError) -> AnswerConstraint? {
        guard order.wanted == .answer, let parameter = order.formatParameter else { return nil }
        func refuse(_ problem: String) -> GenerationError {
            GenerationError(.invalidRequest, "\(parameter): \(problem)", parameter: parameter)
        }
        let isFree = order.output == nil && order.toolUse == .free
        let what = isFree ? "strict: true is not supported" : "not supported"
        if plan?.style.isMessages == true {
            throw refuse(
                "\(what) for this model: it writes its answers as messages to recipients")
        }
        guard let constraints else {
            throw GenerationError(
                .budgetExceeded,
                "\(parameter): the memory limit leaves nothing for grammars; a larger one, or a "
                    + "shorter context, would", parameter: parameter)
        }
        var form: CallForm?
        if order.tools != nil {
            switch order.output?.kind {
            case .grammar: throw refuse("a grammar does not go together with tools")
            case .object: form = .object
            case .schema(let text): form = .schema(text)
            case nil: break
            }
        }
        let source: ConstraintSource
        var callBegin = ""
        switch order.output?.kind {
        case .object where form == nil: source = .object
        case .schema(let text) where form == nil: source = .schema(text)
        case .grammar(let text): source = .grammar(text)
        case .object, .schema, nil:
            let writing =
                isFree
                ? plan?.style.freeCallWriting(template) : plan?.style.callWriting(template)
            // Calls without a beginning of their own could not be told from the form.
            guard let tools = order.tools, let writing, form == nil || !writing.begin.isEmpty
            else {
                throw refuse(
                    "\(form == nil ? what : "not supported beside tools") for this model: how it "
                        + "writes calls is not one of the ways that are kept to here")
            }
            if isFree { callBegin = writing.begin }
            source = .calls(order.callRequest(CallWriting(writing), tools, isFree: isFree, form))
        }
        return AnswerConstraint(
            try grammar(source, of: constraints, parameter),
            thoughts: plan?.style.thoughts.map { ThoughtMarkers(begin: $0.begin, end: $0.end) },
            isThinking: plan?.beginsInReasoning ?? false, callBegin: callBegin,
            token: tokenizer.token)
    }

    private func grammar(
        _ source: ConstraintSource, of constraints: ConstraintLibrary, _ parameter: String
    ) throws(GenerationError) -> Grammar {
        progress?.note()
        do {
            return try constraints.grammar(source)
        } catch {
            switch error {
            case .wrong(let problem):
                throw GenerationError(
                    .invalidRequest, "\(parameter): \(problem)", parameter: parameter)
            case .busy(let grammars):
                throw GenerationError(
                    .overloaded,
                    "\(parameter): there is memory for \(grammars) different grammars at a time, "
                        + "and all are in use; try again later", parameter: parameter)
            }
        }
    }
}

extension GenerationOrder {
    /// - Parameters:
    ///   - isFree: whether there may be text, too.
    ///   - form: what an answer is that calls nothing; whoever has to call calls.
    fileprivate func callRequest(
        _ writing: CallWriting, _ tools: String, isFree: Bool, _ form: CallForm?
    ) -> CallRequest {
        var name: String?
        if case .named(let one) = toolUse { name = one }
        return CallRequest(
            writing, tools: tools, name: name, allowsParallel: allowsParallelCalls && name == nil,
            strict: toolUse == .free ? strictTools : nil, form: toolUse == .free ? form : nil)
    }
}

extension PreparedPrompt {
    /// The place of an answer to an order.
    package func matcher(
        for order: GenerationOrder
    ) throws(GenerationError) -> ConstraintMatcher? {
        guard let constraint else { return nil }
        do {
            return try ConstraintMatcher(constraint)
        } catch {
            throw GenerationError(.overloaded, "\(error)", parameter: order.formatParameter)
        }
    }
}

extension CallWriting {
    fileprivate init(_ writing: AnswerStyle.CallWriting) {
        switch writing {
        case .objects(let begin, let arguments, let end):
            self = .objects(begin: begin, arguments: arguments, end: end)
        case .list(let begin, let arguments): self = .list(begin: begin, arguments: arguments)
        case .named(let begin, let separator): self = .named(begin: begin, separator: separator)
        }
    }
}
