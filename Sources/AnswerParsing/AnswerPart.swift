// What an answer is taken apart into.

/// A piece of an answer, in the order of the text.
package enum AnswerPart: Equatable, Sendable {
    /// What is meant for whoever asked.
    case content(String)
    /// What the model thought before.
    case reasoning(String)
    /// A call begins. `index` counts an answer's calls from 0.
    case callBegan(index: Int, id: String, name: String)
    /// More of the arguments of the call that began last: together the text of a JSON object, if
    /// the model wrote one.
    case arguments(index: Int, String)
    case callEnded(index: Int)
}

/// How an answer is to be taken apart: decided with its prompt.
package struct AnswerPlan: Sendable, Equatable {
    package let style: AnswerStyle
    /// The tools that may be called; nil where there are none, and calls are only text.
    package let tools: ToolSchemas?
    /// Whether the prompt ends within the model's thoughts.
    package let beginsInReasoning: Bool
    /// Bytes that are kept until it is clear what they are.
    package let keptBytesMax: Int

    package init(
        style: AnswerStyle, tools: ToolSchemas?, beginsInReasoning: Bool = false,
        keptBytesMax: Int = CallLimits.keptBytesMost
    ) {
        self.keptBytesMax = keptBytesMax
        self.style = style
        self.tools = tools
        self.beginsInReasoning = beginsInReasoning
    }
}
