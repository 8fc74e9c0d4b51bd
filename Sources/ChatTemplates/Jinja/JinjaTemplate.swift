// A chat template, read once, that makes prompts' texts.

/// A Jinja template as chat templates are written: `trim_blocks` and `lstrip_blocks`, the loop
/// controls, `generation` blocks, and the functions that Hugging Face's transformers adds.
package struct JinjaTemplate {
    private let source: [UInt8]
    private let body: [JinjaStatement]
    /// Variables that it has or asks for.
    let names: [String]

    /// - Throws: `JinjaError` where `text` is no template, or longer or deeper than
    ///   ``JinjaLimits`` allows.
    package init(_ text: String) throws(JinjaError) {
        guard text.utf8.count <= JinjaLimits.templateBytesMax else {
            throw JinjaError(
                JinjaFault(.limit, "longer than \(JinjaLimits.templateBytesMax) bytes"), at: 0,
                in: [])
        }
        source = JinjaLexer.normalized(text)
        var lexer = JinjaLexer(source: source)
        let tokens: [JinjaToken]
        do throws(JinjaFault) {
            tokens = try lexer.read()
        } catch {
            throw JinjaError(error, at: lexer.position, in: source)
        }
        var parser = JinjaParser(tokens: tokens)
        do throws(JinjaFault) {
            body = try parser.parse()
        } catch {
            throw JinjaError(error, at: parser.position, in: source)
        }
        names = parser.names
    }

    /// The text that the template makes of `variables`.
    ///
    /// - Parameter isCancelled: asked every few thousand steps.
    /// - Throws: `JinjaError`.
    package func render(
        _ variables: [(name: String, value: JinjaValue)], limits: JinjaLimits,
        clock: JinjaClock = JinjaClock(secondsSince1970: 0),
        isCancelled: @escaping () -> Bool = { false }
    ) throws(JinjaError) -> MarkedText {
        let interpreter = JinjaInterpreter(
            names: names, limits: limits, clock: clock, isCancelled: isCancelled)
        do throws(JinjaFault) {
            return try interpreter.render(body, variables)
        } catch {
            throw JinjaError(error, at: interpreter.position, in: source)
        }
    }
}
