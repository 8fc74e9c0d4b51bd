// From rules to the automaton's nodes, each expression from its end to its beginning: what follows
// it is known when it is built, so that ends are shared and nothing is copied.

struct AutomatonBuilder {
    /// Tokens that one grammar may name.
    private static let tokensMax = 64

    private(set) var nodes: [AutomatonNode] = []
    private(set) var sets: [ByteSet] = []
    private(set) var tokens: [String] = []
    private let rules: RuleSet
    private let nodesMax: Int
    /// Where each rule begins.
    private var entries: [Int32]
    private var places: [ByteSet: Int32] = [:]

    init(_ rules: RuleSet, bytesMax: Int) {
        self.rules = rules
        nodesMax = bytesMax / MemoryLayout<AutomatonNode>.stride
        entries = []
    }

    /// - Returns: the root's first node.
    mutating func build() throws(ConstraintError) -> Int32 {
        _ = try add(.end, 0, 0)
        // Calls go to a node that is there before the rule's own.
        for _ in 0..<rules.count { entries.append(try add(.split, Automaton.end, Automaton.end)) }
        for (index, body) in rules.bodies.enumerated() {
            let first = try compile(body ?? .nothing, Automaton.end)
            nodes[Int(entries[index])] = AutomatonNode(kind: .split, operand: first, next: first)
        }
        return entries[rules.root.index]
    }

    private mutating func add(
        _ kind: AutomatonNode.Kind, _ operand: Int32, _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        guard nodes.count + sets.count * 3 < nodesMax else {
            throw .tooLarge("the grammar needs more memory than there is for one")
        }
        nodes.append(AutomatonNode(kind: kind, operand: operand, next: next))
        return Int32(nodes.count - 1)
    }

    private mutating func add(_ set: ByteSet, _ next: Int32) throws(ConstraintError) -> Int32 {
        let place = places[set] ?? Int32(sets.count)
        if places[set] == nil {
            places[set] = place
            sets.append(set)
        }
        return try add(.byte, place, next)
    }

    /// - Parameter next: what follows it.
    /// - Returns: where it begins.
    private mutating func compile(
        _ expression: Expression, _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        switch expression {
        case .bytes(let bytes):
            var node = next
            for byte in bytes.reversed() { node = try add(ByteSet(byte...byte), node) }
            return node
        case .scalar(let ranges): return try compile(ranges, next)
        case .token(let text):
            let place = tokens.firstIndex(of: text) ?? tokens.count
            if place == tokens.count {
                guard place < Self.tokensMax else {
                    throw .tooLarge("at most \(Self.tokensMax) different tokens by their texts")
                }
                tokens.append(text)
            }
            return try add(.token, Int32(place), next)
        case .rule(let rule): return try add(.call, entries[rule.index], next)
        case .sequence(let parts):
            var node = next
            for part in parts.reversed() { node = try compile(part, node) }
            return node
        case .choice(let alternatives): return try choice(alternatives, next)
        case .repetition(let part, let least, let most):
            return try repetition(part, least, most, next)
        case .elements(let values, let least, let rest, let separator):
            return try elements(values, least, rest, separator, next)
        case .members(let members, let rest, let separator):
            return try self.members(members, rest, separator, next)
        }
    }

    private mutating func choice(
        _ alternatives: [Expression], _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        guard let last = alternatives.last else {
            // Nothing is one of none: a set of no byte.
            return try add(ByteSet(), next)
        }
        var node = try compile(last, next)
        for alternative in alternatives.dropLast().reversed() {
            node = try add(.split, try compile(alternative, next), node)
        }
        return node
    }

    private mutating func compile(
        _ ranges: ScalarRanges, _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        var ascii = ByteSet()
        var hasASCII = false
        var node: Int32?
        for sequence in ranges.utf8 {
            if sequence.count == 1 {
                for byte in sequence[0] { ascii.insert(byte) }
                hasASCII = true
                continue
            }
            var own = next
            for range in sequence.reversed() { own = try add(ByteSet(range), own) }
            node = if let before = node { try add(.split, own, before) } else { own }
        }
        if hasASCII || node == nil {
            let own = try add(ascii, next)
            node = if let before = node { try add(.split, own, before) } else { own }
        }
        return node ?? next
    }

    private mutating func repetition(
        _ part: Expression, _ least: Int, _ most: Int?, _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        var node = next
        if let most {
            for _ in 0..<max(0, most - least) {
                node = try add(.split, try compile(part, node), next)
            }
        } else {
            let loop = try add(.split, next, next)
            let body = try compile(part, loop)
            nodes[Int(loop)] = AutomatonNode(kind: .split, operand: body, next: next)
            node = loop
        }
        for _ in 0..<least {
            let before = node
            node = try compile(part, before)
            // Nothing, however often.
            if node == before { break }
        }
        return node
    }

    /// Any number of `rest`, each after a separator.
    private mutating func loop(
        _ rest: Expression?, _ separator: Expression, _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        guard let rest else { return next }
        return try repetition(.sequence([separator, rest]), 0, nil, next)
    }

    private mutating func elements(
        _ values: [Expression], _ least: Int, _ rest: Expression?, _ separator: Expression,
        _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        // From the last on: what may follow a value, and the whole where it is the first.
        var after = try loop(rest, separator, next)
        for (index, value) in values.enumerated().dropFirst().reversed() {
            let own = try compile(separator, try compile(value, after))
            after = index < least ? own : try add(.split, own, next)
        }
        if let first = values.first {
            let own = try compile(first, after)
            return least > 0 ? own : try add(.split, own, next)
        }
        guard let rest else { return next }
        return try add(.split, try compile(rest, after), next)
    }

    private mutating func members(
        _ members: [Expression.Member], _ rest: Expression?, _ separator: Expression,
        _ next: Int32
    ) throws(ConstraintError) -> Int32 {
        // What may follow where something was written, and where nothing was.
        var later = try loop(rest, separator, next)
        var first = next
        if let rest { first = try add(.split, try compile(rest, later), next) }
        for member in members.reversed() {
            let begun = try compile(member.text, later)
            let begunLater = try compile(separator, begun)
            first = member.isRequired ? begun : try add(.split, begun, first)
            later = member.isRequired ? begunLater : try add(.split, begunLater, later)
        }
        return first
    }
}
