// The styles that are known, and the markers by which a chat template shows which one it is.

extension AnswerStyle {
    /// The style of a chat template; nil where it has neither thoughts nor calls of a known kind.
    package init?(template: String) {
        let template = Array(template.utf8)
        func has(_ marker: String) -> Bool { template.contains(marker) }
        if has("<|channel|>"), has("<|message|>") {
            self = .channels
            return
        }
        if has(">>>all"), has(">>>${recipient}") {
            self.init(
                reasoning: nil, calls: .recipients(marker: Array(">>>".utf8)), tokens: [])
            return
        }
        let calls = Self.known.first { $0.signs.allSatisfy(has) }
        if let calls, let reasoning = calls.reasoning, has(reasoning.sign) {
            self.init(
                reasoning: reasoning.markers, reasonsAnywhere: true, calls: calls.calls,
                tokens: calls.tokens, dropped: calls.dropped)
            return
        }
        let thoughts = Self.thoughts.first { has($0.0) || has($0.1) }
        guard thoughts != nil || calls != nil else { return nil }
        self.init(
            reasoning: thoughts.map { MarkerPair($0.0, $0.1) }, calls: calls?.calls,
            otherCalls: Self.pythonCode.signs.allSatisfy(has) ? Self.pythonCode.calls : nil,
            tokens: (calls?.tokens ?? []).union(thoughts.map { [$0.0, $0.1] } ?? []),
            dropped: calls?.dropped ?? [], wrappers: Self.wrappers.filter(has))
    }

    /// What thoughts are between in most styles.
    private static let thoughts = [
        ("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"),
        ("<mm:think>", "</mm:think>"), ("<|START_THINKING|>", "<|END_THINKING|>")
    ]

    /// What some write around what is said: Command's, and the end of thoughts that there were none
    /// of.
    private static let wrappers = [
        "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>", "</mm:think>"
    ]

    /// SmolLM3's second form, beside JSON: code for an interpreter, which may be calls of tools.
    private static let pythonCode = Known(
        signs: ["python_tools", "<code>", "</code>"],
        calls: .python(MarkerPair("<code>", "</code>"), mayBeCode: true), tokens: [])

    private static let channels = AnswerStyle(
        reasoning: nil, calls: .channels,
        tokens: [
            "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>",
            "<|return|>"
        ])

    /// A way of writing calls.
    private struct Known {
        /// What all of must be in a template.
        let signs: [String]
        let calls: Calls
        let tokens: Set<String>
        var dropped: [String] = []
        /// Thoughts that only this style writes so.
        var reasoning: (sign: String, markers: MarkerPair)?
    }

    /// In the order in which they are looked for: the more special before what they contain.
    private static let known: [Known] = [
        Known(
            signs: ["<|tool_call>"],
            calls: .braces(MarkerPair("<|tool_call>", "<tool_call|>"), quote: Array("<|\"|>".utf8)),
            tokens: ["<|tool_call>", "<tool_call|>", "<|\"|>", "<|channel>", "<channel|>"],
            reasoning: ("<|channel>", MarkerPair("<|channel>thought", "<channel|>"))),
        Known(
            signs: ["<start_function_call>"],
            calls: .braces(
                MarkerPair("<start_function_call>", "<end_function_call>"),
                quote: Array("<escape>".utf8)),
            tokens: ["<start_function_call>", "<end_function_call>", "<escape>"]),
        Known(
            signs: ["]<]minimax[>["],
            calls: .elements(
                MarkerPair("]<]minimax[>[<tool_call>", "]<]minimax[>[</tool_call>"),
                separator: Array("]<]minimax[>[".utf8)),
            tokens: ["]<]minimax[>[", "<tool_call>", "</tool_call>"]),
        tagged(
            signs: ["<minimax:tool_call>", "<invoke name="],
            TaggedSyntax(
                block: MarkerPair("<minimax:tool_call>", "</minimax:tool_call>"),
                functionBegin: "<invoke name=\"", nameEnds: ["\">"], functionEnd: "</invoke>",
                key: MarkerPair("<parameter name=\"", "\">"),
                value: MarkerPair("", "</parameter>"))),
        deepSeekMarkup(block: "function_calls"), deepSeekMarkup(block: "tool_calls"),
        Known(
            signs: ["<|START_ACTION|>", "tool_name"],
            calls: .json(MarkerPair("<|START_ACTION|>", "<|END_ACTION|>")),
            tokens: ["<|START_ACTION|>", "<|END_ACTION|>"]),
        Known(
            signs: ["<|tool_call_begin|>", "<|tool_call_argument_begin|>"],
            calls: .named(
                NamedSyntax(
                    begin: Array("<|tool_call_begin|>".utf8), end: Array("<|tool_call_end|>".utf8),
                    nameEnds: [Array("<|tool_call_argument_begin|>".utf8)], namesAreIDs: true)),
            tokens: [
                "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>",
                "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
            ],
            dropped: ["<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"]),
        tagged(signs: ["<seed:tool_call>", "<function="], functions(in: "seed:tool_call")),
        tagged(
            signs: ["<arg_key>", "<tool_call>"],
            TaggedSyntax(
                block: MarkerPair("<tool_call>", "</tool_call>"), functionBegin: "",
                nameEnds: ["\n", "<arg_key>", "</tool_call>"], functionEnd: "",
                key: MarkerPair("<arg_key>", "</arg_key>"),
                value: MarkerPair("<arg_value>", "</arg_value>"))),
        tagged(signs: ["<function=", "<tool_call>"], functions(in: "tool_call")),
        Known(
            signs: ["<tool_calls>", "\"name", "arguments"],
            calls: .json(MarkerPair("<tool_calls>", "</tool_calls>")),
            tokens: ["<tool_calls>", "</tool_calls>"]),
        Known(
            signs: ["<tool_call>", "\"name", "arguments"],
            calls: .json(MarkerPair("<tool_call>", "</tool_call>")),
            tokens: ["<tool_call>", "</tool_call>"]),
        json(signs: ["<TOOLCALL>"], MarkerPair("<TOOLCALL>", "</TOOLCALL>")),
        json(
            signs: ["<|tool_call|>"], MarkerPair("<|tool_call|>", ""), dropped: ["<|/tool_call|>"]),
        json(signs: ["<|function_call|>"], MarkerPair("<|function_call|>", "")),
        json(signs: ["functools["], MarkerPair("functools", "")),
        Known(
            signs: ["<\u{FF5C}tool\u{2581}call\u{2581}begin\u{FF5C}>"],
            calls: .named(
                NamedSyntax(
                    begin: deepSeek("call\u{2581}begin"), end: deepSeek("call\u{2581}end"),
                    nameEnds: [deepSeek("sep"), Array("\n```json".utf8)])),
            tokens: Set(deepSeekTokens), dropped: [deepSeekTokens[0], deepSeekTokens[1]]),
        python(sign: "<|tool_call_start|>"), python(sign: "<|tool_list_start|>"),
        Known(
            signs: ["[TOOL_CALLS]"],
            calls: .named(
                NamedSyntax(
                    begin: Array("[TOOL_CALLS]".utf8), end: [],
                    nameEnds: [Array("[ARGS]".utf8), Array("{".utf8)],
                    idBegin: Array("[CALL_ID]".utf8), allowsJSON: true, hasShortIDs: true)),
            tokens: ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"]),
        Known(
            signs: ["<function=", "</function>"],
            calls: .named(
                NamedSyntax(
                    begin: Array("<function=".utf8), end: Array("</function>".utf8),
                    nameEnds: [Array(">".utf8)], isStrict: true)),
            tokens: []),
        bareJSON(signs: ["<|python_tag|>", "\"parameters\": "]),
        bareJSON(signs: ["Environment: ipython", "\"parameters\": "])
    ]

    private static func tagged(signs: [String], _ syntax: TaggedSyntax) -> Known {
        let markers = [
            syntax.block.begin, syntax.block.end, syntax.keyBegin, syntax.keyEnds[0].marker,
            syntax.valueBegin, syntax.valueEnd, syntax.functionEnd
        ]
        return Known(
            signs: signs, calls: .tagged(syntax),
            tokens: Set(
                markers.filter { !$0.isEmpty }.map { String(decoding: $0, as: UTF8.self) }))
    }

    private static func functions(in block: String) -> TaggedSyntax {
        TaggedSyntax(
            block: MarkerPair("<\(block)>", "</\(block)>"), functionBegin: "<function=",
            nameEnds: [">"], functionEnd: "</function>", key: MarkerPair("<parameter=", ">"),
            value: MarkerPair("", "</parameter>"))
    }

    /// DeepSeek's since V3.2: a token within each tag.
    private static func deepSeekMarkup(block: String) -> Known {
        let sign = "\u{FF5C}DSML\u{FF5C}"
        return Known(
            signs: [sign, block + ">"],
            calls: .tagged(
                TaggedSyntax(
                    block: MarkerPair("<\(sign)\(block)>", "</\(sign)\(block)>"),
                    functionBegin: "<\(sign)invoke name=\"", nameEnds: ["\">"],
                    functionEnd: "</\(sign)invoke>",
                    key: MarkerPair("<\(sign)parameter name=\"", "\">"),
                    typedKeyEnds: ("\" string=\"true\">", "\" string=\"false\">"),
                    value: MarkerPair("", "</\(sign)parameter>"))),
            tokens: [sign])
    }

    /// JSON; tokens are the markers that there are.
    private static func json(
        signs: [String], _ markers: MarkerPair, dropped: [String] = []
    ) -> Known {
        let tokens = [markers.begin, markers.end].map { String(decoding: $0, as: UTF8.self) }
        return Known(
            signs: signs, calls: .json(markers),
            tokens: Set(tokens + dropped).subtracting([""]), dropped: dropped)
    }

    private static func python(sign: String) -> Known {
        Known(
            signs: [sign],
            calls: .python(MarkerPair("<|tool_call_start|>", "<|tool_call_end|>")),
            tokens: ["<|tool_call_start|>", "<|tool_call_end|>"])
    }

    private static func bareJSON(signs: [String]) -> Known {
        Known(
            signs: signs, calls: .bareJSON(marker: Array("<|python_tag|>".utf8)),
            tokens: ["<|python_tag|>"])
    }

    private static func deepSeek(_ name: String) -> [UInt8] {
        Array("<\u{FF5C}tool\u{2581}\(name)\u{FF5C}>".utf8)
    }

    private static let deepSeekTokens = [
        "calls\u{2581}begin", "calls\u{2581}end", "call\u{2581}begin", "call\u{2581}end", "sep"
    ].map { String(decoding: deepSeek($0), as: UTF8.self) }
}

extension [UInt8] {
    /// Whether `text` is somewhere in it.
    fileprivate func contains(_ text: String) -> Bool { firstRange(of: Array(text.utf8)) != nil }
}
