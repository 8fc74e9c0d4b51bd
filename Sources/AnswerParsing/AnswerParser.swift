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
        case recipients(RecipientReader)
    }

    /// What a marker opens.
    private enum Opening: Equatable {
        case reasoning
        case call(AnswerStyle.Calls)
        /// A call without the marker around it.
        case function(AnswerStyle.Calls)
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
        switch plan.style.calls {
        case .channels: mode = .channels(ChannelReader(tools: plan.tools))
        case .recipients(let marker):
            mode = .recipients(RecipientReader(marker: marker, tools: plan.tools))
        default:
            mode = plan.beginsInReasoning ? .reasoning : .saying
            if plan.beginsInReasoning { output.separate() }
        }
    }

    private static func openings(_ plan: AnswerPlan) -> [(marker: [UInt8], opening: Opening)] {
        var openings: [(marker: [UInt8], opening: Opening)] = []
        if let reasoning = plan.style.reasoning { openings.append((reasoning.begin, .reasoning)) }
        openings += plan.style.wrappers.map { ($0, .nothing) }
        guard plan.tools != nil else { return openings }
        for calls in [plan.style.calls, plan.style.otherCalls].compactMap(\.self) {
            switch calls {
            case .json(let markers), .python(let markers, _), .braces(let markers, _),
                .elements(let markers, _):
                openings.append((markers.begin, .call(calls)))
            case .named(let syntax): openings.append((syntax.begin, .call(calls)))
            case .bareJSON(let marker): openings.append((marker, .call(calls)))
            case .tagged(let syntax):
                openings.append((syntax.block.begin, .call(calls)))
                if !syntax.functionBegin.isEmpty {
                    openings.append((syntax.functionBegin, .function(calls)))
                }
            case .channels, .recipients: break
            }
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
        case .recipients(var reader): reader.finish(&output)
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
        case .recipients(var reader):
            mode = .saying
            let took = reader.step(&input, &output)
            mode = .recipients(reader)
            return took
        }
    }

    private mutating func follow(_ step: CallStep) -> Bool {
        switch step {
        case .more, .wait:
            let isLate = reread > CallLimits.rereadMax
            let keptMax = isLate ? CallLimits.keptBytesMaxLater : plan.keptBytesMax
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
        case .call(let calls): beginCall(calls, isFunction: false, markerCount: count)
        case .function(let calls): beginCall(calls, isFunction: true, markerCount: count)
        }
        return true
    }

    private mutating func beginCall(
        _ calls: AnswerStyle.Calls, isFunction: Bool, markerCount: Int
    ) {
        guard let tools = plan.tools else { return }
        let most = plan.keptBytesMax
        if case .reasoning = mode { beganInReasoning = true } else { beganInReasoning = false }
        input.keep()
        input.drop(markerCount)
        switch calls {
        case .json(let markers):
            let reader = JSONCallReader(end: markers.end, tools: tools, keptBytesMax: most)
            mode = .calling(.json(reader))
        case .bareJSON:
            let reader = JSONCallReader(end: [], isBare: true, tools: tools, keptBytesMax: most)
            mode = .calling(.json(reader))
        case .named(let syntax):
            let reader = NamedCallReader(
                syntax, isStrict: beganInReasoning, tools: tools, keptBytesMax: most)
            mode = .calling(.named(reader))
        case .tagged(let syntax):
            let reader = TaggedCallReader(
                syntax, isBegun: isFunction, isStrict: isFunction || beganInReasoning,
                tools: tools, keptBytesMax: most)
            mode = .calling(.tagged(reader))
        case .python(let markers, let mayBeCode):
            beginWhole(.python(mayBeCode: mayBeCode), in: markers, tools)
        case .braces(let markers, let quote): beginWhole(.braces(quote: quote), in: markers, tools)
        case .elements(let markers, let separator):
            beginWhole(.elements(separator: separator), in: markers, tools)
        case .channels, .recipients: break
        }
    }

    private mutating func beginWhole(
        _ syntax: WholeCallReader.Syntax, in markers: MarkerPair, _ tools: ToolSchemas
    ) {
        let reader = WholeCallReader(
            syntax, in: markers, tools: tools, keptBytesMax: plan.keptBytesMax)
        mode = .calling(.whole(reader))
    }

    /// Of styles without markers: an object where an answer begins, or another after a call.
    private mutating func beginsBareCall(_ unit: UInt16) -> Bool {
        guard let calls = plan.style.calls, case .bareJSON = calls, plan.tools != nil,
            !output.hasContent
        else { return false }
        if unit == UInt16(UInt8(ascii: ";")), output.callCount > 0 {
            input.drop()
            return true
        }
        guard unit == UInt16(UInt8(ascii: "{")) else { return false }
        beginCall(calls, isFunction: false, markerCount: 0)
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
        if plan.style.callsEndReasoning {
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
