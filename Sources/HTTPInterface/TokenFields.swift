// The fields of `/tokenize` and `/detokenize`, as llama-server names them. What a user wrote is
// only text unless the request says otherwise: that differs from llama-server.

internal import GenerationAPI
internal import JSON
internal import ModelFormat

extension CompletionRequest {
    /// Reads the body of `POST /tokenize`.
    static func tokenizing(
        _ body: JSONValue, client: ClientID
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        guard let text = try fields.string("content") else {
            throw fields.error("content", "missing")
        }
        var rules = TokenizingRules()
        rules.addsSpecial = try fields.boolean("add_special") ?? false
        rules.parsesSpecial = try fields.boolean("parse_special") ?? false
        rules.includesPieces = try fields.boolean("with_pieces") ?? false
        var order = GenerationOrder(prompt: .text(text), client: client)
        order.wanted = .tokens(rules)
        order.model = try fields.model()
        return CompletionRequest(order: order, answer: AnswerOptions(kind: .tokens))
    }

    /// Reads the body of `POST /detokenize`.
    static func detokenizing(
        _ body: JSONValue, client: ClientID
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        guard let value = fields["tokens"] else { throw fields.error("tokens", "missing") }
        guard let list = value.array else {
            throw fields.error("tokens", "expected a list, found \(value.kind)")
        }
        var order = GenerationOrder(
            prompt: .tokens(try TextPrompt.read(tokens: list, of: "tokens", fields)),
            client: client)
        order.wanted = .text
        order.model = try fields.model()
        return CompletionRequest(order: order, answer: AnswerOptions(kind: .content))
    }
}

extension RequestFields {
    /// The model's name; nil where there is none.
    func model() throws(GenerationError) -> String? {
        try string("model").flatMap { $0.isEmpty ? nil : $0 }
    }
}
