// Takes an answer apart as it is generated, however its text is cut.
//
// Every rule looks at one unit of text after the other, and waits where it depends on what follows:
// what comes out is the same for every way of cutting, but for the pieces' borders.

/// An answer on its way from text to parts.
package struct AnswerParser: Sendable {
    private enum Mode {
        case saying
        case reasoning
        case calling(CallReader)
        case channels(ChannelReader)
    }

    /// What a marker opens.
    private enum Opening {
        case reasoning
        case call
        /// A call without the marker around it.
        case function
        case nothing
    }

    private let plan: AnswerPlan
    private var input = AnswerInput()
    private var output: AnswerOutput
    private var mode: Mode
    /// Where a call that is being read began: within thoughts.
    private var beganInReasoning = false
    /// Units that were read again.
    private var reread = 0
    private let openings: [(marker: [UInt8], opening: Opening)]
    private let markers: [[UInt8]]

    /// - Parameter seed: of the calls' ids.
    package init(_ plan: AnswerPlan, seed: UInt64) {
        self.plan = plan
        output = AnswerOutput(
            identifiers: CallIdentifiers(seed: seed, isShort: plan.style.hasShortIDs))
        openings = Self.openings(plan)
        markers = openings.map(\.marker)
        if case .channels = plan.style.calls {
            mode = .channels(ChannelReader(tools: plan.tools))
        } else {
            mode = plan.beginsInReasoning ? .reasoning : .saying
            if plan.beginsInReasoning { output.separate() }
        }
    }

    private static func openings(_ plan: AnswerPlan) -> [(marker: [UInt8], opening: Opening)] {
        var openings: [(marker: [UInt8], opening: Opening)] = []
        if let reasoning = plan.style.reasoning { openings.append((reasoning.begin, .reasoning)) }
        guard plan.tools != nil else { return openings }
        switch plan.style.calls {
        case .json(let markers), .python(let markers), .braces(let markers, _):
            openings.append((markers.begin, .call))
        case .named(let syntax): openings.append((syntax.begin, .call))
        case .bareJSON(let marker): openings.append((marker, .call))
        case .tagged(let syntax):
            openings.append((syntax.block.begin, .call))
            if !syntax.functionBegin.isEmpty {
                openings.append((syntax.functionBegin, .function))
            }
        case .channels, nil: break
        }
        return openings + plan.style.dropped.map { ($0, .nothing) }
    }

    /// Special tokens that it has to see.
    package var tokens: Set<String> { plan.style.tokens }

    /// Takes more of the text, of whole characters.
    package mutating func append(_ text: String) -> [AnswerPart] {
        input.append(text.utf8, isSpecial: false)
        return run()
    }

    /// Takes a special token, one of ``tokens``, which is never shown.
    package mutating func append(token text: String) -> [AnswerPart] {
        input.append(text.utf8, isSpecial: true)
        return run()
    }

    /// Nothing follows: half a call is left out, as far as it is not given out already.
    package mutating func finish() -> [AnswerPart] {
        input.isFinal = true
        var parts = run()
        switch mode {
        case .calling(let reader) where reader.isTextUnlessFinished && !reader.isOpen:
            failCall()
            parts += run()
        case .calling(let reader): if reader.isOpen { output.endCall() }
        case .channels(var reader): reader.finish(&output)
        case .saying, .reasoning: break
        }
        output.finish()
        return parts + output.take()
    }

    private mutating func run() -> [AnswerPart] {
        while step() {}
        input.compact()
        return output.take()
    }

    /// Takes something of the input; false where there is nothing that could be taken yet.
    private mutating func step() -> Bool {
        switch mode {
        case .saying: return stepSaying()
        case .reasoning: return stepReasoning()
        case .calling(var reader):
            mode = .saying
            let step = reader.step(&input, &output)
            mode = .calling(reader)
            return follow(step)
        case .channels(var reader):
            mode = .saying
            let took = reader.step(&input, &output)
            mode = .channels(reader)
            return took
        }
    }

    private mutating func follow(_ step: CallStep) -> Bool {
        switch step {
        case .more, .wait:
            let isLate = reread > CallLimits.rereadMax
            let keptMax = isLate ? CallLimits.keptBytesMaxLater : 2 * CallLimits.keptBytesMax
            guard input.keptCount <= keptMax else {
                failCall()
                return true
            }
            return step == .more
        case .ended:
            input.release()
            mode = .saying
        case .failed: failCall()
        }
        return true
    }

    /// What was read is text; what follows its first byte may be a call again.
    private mutating func failCall() {
        reread += input.keptCount
        input.rewind()
        mode = beganInReasoning ? .reasoning : .saying
        guard let unit = input.first else { return }
        input.drop()
        if beganInReasoning { output.reasoning(unit) } else { output.content(unit) }
    }

    private mutating func stepSaying() -> Bool {
        guard let unit = input.first else { return false }
        let (match, place) = input.match(anyOf: markers)
        if match == .partial { return false }
        if match == .full, open(openings[place].opening, markers[place].count) { return true }
        if beginsBareCall(unit) { return true }
        input.drop()
        output.content(unit)
        return true
    }

    /// Begins what a marker opens; false where it opens nothing here.
    private mutating func open(_ opening: Opening, _ count: Int) -> Bool {
        switch opening {
        case .reasoning:
            guard plan.style.reasonsAnywhere || !output.hasContent && output.callCount == 0 else {
                return false
            }
            input.drop(count)
            output.separate()
            mode = .reasoning
        case .nothing: input.drop(count)
        case .call, .function: beginCall(isFunction: opening == .function, markerCount: count)
        }
        return true
    }

    private mutating func beginCall(isFunction: Bool, markerCount: Int) {
        guard let tools = plan.tools, let calls = plan.style.calls else { return }
        if case .reasoning = mode { beganInReasoning = true } else { beganInReasoning = false }
        input.keep()
        input.drop(markerCount)
        switch calls {
        case .json(let markers):
            mode = .calling(.json(JSONCallReader(end: markers.end, tools: tools)))
        case .bareJSON:
            mode = .calling(.json(JSONCallReader(end: [], isBare: true, tools: tools)))
        case .named(let syntax): mode = .calling(.named(NamedCallReader(syntax, tools: tools)))
        case .tagged(let syntax):
            let reader = TaggedCallReader(
                syntax, isBegun: isFunction, isStrict: isFunction || beganInReasoning,
                tools: tools)
            mode = .calling(.tagged(reader))
        case .python(let markers):
            mode = .calling(.whole(WholeCallReader(.python, in: markers)))
        case .braces(let markers, let quote):
            mode = .calling(.whole(WholeCallReader(.braces(quote: quote), in: markers)))
        case .channels: break
        }
    }

    /// Of styles without markers: an object where an answer begins, or another after a call.
    private mutating func beginsBareCall(_ unit: UInt16) -> Bool {
        guard case .bareJSON = plan.style.calls, plan.tools != nil, !output.hasContent else {
            return false
        }
        if unit == UInt16(UInt8(ascii: ";")), output.callCount > 0 {
            input.drop()
            return true
        }
        guard unit == UInt16(UInt8(ascii: "{")) else { return false }
        beginCall(isFunction: false, markerCount: 0)
        return true
    }

    private mutating func stepReasoning() -> Bool {
        guard let unit = input.first, let reasoning = plan.style.reasoning else { return false }
        let (match, _) = input.match(anyOf: [reasoning.end])
        switch match {
        case .partial: return false
        case .full:
            input.drop(reasoning.end.count)
            output.separate()
            mode = .saying
            return true
        case .none: break
        }
        // With names in tags, a call may end thoughts.
        if case .tagged = plan.style.calls {
            let (match, place) = input.match(anyOf: markers)
            if match == .partial { return false }
            if match == .full, openings[place].opening != .reasoning {
                return open(openings[place].opening, markers[place].count)
            }
        }
        input.drop()
        output.reasoning(unit)
        return true
    }
}
