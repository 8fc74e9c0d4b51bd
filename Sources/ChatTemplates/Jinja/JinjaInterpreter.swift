// What a template's run has: names, loops, its text so far, and what it may still take. Everything
// is counted, and ends at a limit.

/// Names and their values in one block; names of the blocks around it are seen through it.
final class JinjaScope {
    let parent: JinjaScope?
    private var names: [Int] = []
    private var values: [JinjaValue] = []

    init(parent: JinjaScope?) { self.parent = parent }

    func set(_ name: Int, _ value: JinjaValue) {
        if let place = names.firstIndex(of: name) {
            values[place] = value
        } else {
            names.append(name)
            values.append(value)
        }
    }

    func find(_ name: Int) -> JinjaValue? {
        var scope: JinjaScope? = self
        while let here = scope {
            if let place = here.names.firstIndex(of: name) { return here.values[place] }
            scope = here.parent
        }
        return nil
    }
}

/// A loop that runs.
struct JinjaLoopState {
    let elements: [JinjaValue]
    /// What is asked of elements before they are taken, and where.
    let condition: JinjaExpression?
    let target: JinjaTarget
    let scope: JinjaScope
    /// The first element that nobody has looked at.
    var cursor = 0
    /// Those that were looked at and not taken.
    var upcoming: [JinjaValue] = []
    var index = -1
    var previous: JinjaValue?
    var current: JinjaValue?
    var lastChecked: [JinjaValue]?
}

final class JinjaInterpreter {
    let names: [String]
    let limits: JinjaLimits
    let clock: JinjaClock
    private let isCancelled: () -> Bool
    /// In bytes of the source: what is evaluated.
    var position = 0
    private var stepsLeft: Int
    private var workLeft: Int
    private var depth = 0
    /// Evaluations within each other.
    static let depthMax = 2 * JinjaLimits.depthMax

    var namespaces: [JinjaDictionary] = []
    var macros: [(macro: JinjaMacro, scope: JinjaScope)] = []
    var loops: [JinjaLoopState] = []
    /// The text of the block that runs.
    var output = MarkedText()

    init(
        names: [String], limits: JinjaLimits, clock: JinjaClock, isCancelled: @escaping () -> Bool
    ) {
        self.names = names
        self.limits = limits
        self.clock = clock
        self.isCancelled = isCancelled
        stepsLeft = limits.stepsMax
        workLeft = limits.workBytesMax
    }

    // MARK: limits

    func step(_ count: Int = 1) throws(JinjaFault) {
        let before = stepsLeft
        stepsLeft = stepsLeft.subtractingReportingOverflow(count).partialValue
        guard stepsLeft >= 0, count >= 0 else {
            throw JinjaFault(.limit, "more than \(limits.stepsMax) steps")
        }
        if before >> 12 != stepsLeft >> 12, isCancelled() {
            throw JinjaFault(.cancelled, "the request was cancelled")
        }
    }

    /// Pays for `bytes` of text or lists.
    func charge(_ bytes: Int) throws(JinjaFault) {
        guard bytes <= workLeft else {
            throw JinjaFault(
                .limit, "more than \(limits.workBytesMax) bytes of text on the way")
        }
        workLeft -= bytes
        try step(bytes >> 6)
    }

    /// Pays for `count` times `bytes`.
    func charge(_ bytes: Int, times count: Int) throws(JinjaFault) {
        let (product, isOver) = bytes.multipliedReportingOverflow(by: max(0, count))
        try charge(isOver ? .max : product)
    }

    /// Pays for a value that was just made.
    func charged(_ value: JinjaValue) throws(JinjaFault) -> JinjaValue {
        switch value {
        case .string(let text): try charge(text.count + 16 * text.outside.count)
        case .list(let list), .tuple(let list):
            try charge(64, times: list.elements.count)
        case .dictionary(let dictionary): try charge(128, times: dictionary.count)
        default: return value
        }
        guard value.depth <= JinjaLimits.valueDepthMax else {
            throw JinjaFault(.limit, "a value deeper than \(JinjaLimits.valueDepthMax)")
        }
        return value
    }

    func nested<Value>(_ body: () throws(JinjaFault) -> Value) throws(JinjaFault) -> Value {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else {
            throw JinjaFault(.limit, "evaluation deeper than \(Self.depthMax)")
        }
        return try body()
    }

    func printed(_ value: JinjaValue) throws(JinjaFault) -> MarkedText {
        if case .string(let text) = value { return text }
        try charge(value.weight, times: 4)
        return value.printed
    }

    /// What a loop over `value` passes.
    func elements(of value: JinjaValue) throws(JinjaFault) -> [JinjaValue] {
        switch value {
        case .undefined: return []
        case .list(let list), .tuple(let list):
            try step(list.elements.count >> 4)
            return list.elements
        case .dictionary(let dictionary):
            try charge(64, times: dictionary.count)
            return dictionary.members.map(\.key)
        case .string(let text):
            try charge(64, times: text.count)
            return text.scalars.map { .string($0) }
        default: throw .failed("'\(value.kind)' object is not iterable")
        }
    }
}
