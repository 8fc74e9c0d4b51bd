// What rules must not do: call themselves before anything was taken, which would never end, and
// have no end at all.

enum RuleChecks {
    /// - Throws: `ConstraintError.rule` with the name of the first rule that cannot be used.
    ///
    /// - Returns: the rules without what has no end: whoever follows them can always go on.
    static func checked(_ rules: RuleSet) throws(ConstraintError) -> RuleSet {
        let nullable = fixpoint(rules, isNullable)
        let ending = fixpoint(rules, canEnd)
        guard ending[rules.root.index] else {
            throw .rule(
                name: rules.names[rules.root.index], problem: "there is no text that it allows")
        }
        try refuseLeftRecursion(rules, nullable)
        var pruned = rules
        for index in 0..<rules.count {
            let rule = RuleID(index: index)
            pruned[rule] = rules[rule].map { Self.pruned($0, ending) }
        }
        return pruned
    }

    /// The expression without alternatives that have no end.
    private static func pruned(_ expression: Expression, _ known: [Bool]) -> Expression {
        guard canEnd(expression, known) else { return .choice([]) }
        func kept(_ part: Expression) -> Expression? {
            canEnd(part, known) ? pruned(part, known) : nil
        }
        switch expression {
        case .bytes, .scalar, .token, .rule: return expression
        case .sequence(let parts): return .sequence(parts.map { pruned($0, known) })
        case .choice(let alternatives): return .choice(alternatives.compactMap(kept))
        case .repetition(let part, let least, let most):
            guard let part = kept(part) else { return .nothing }
            return .repetition(part, least: least, most: most)
        case .elements(let values, let least, let rest, let separator):
            let usable = values.prefix { canEnd($0, known) }.map { pruned($0, known) }
            return .elements(
                usable, least: least, rest: usable.count < values.count ? nil : rest.flatMap(kept),
                separator: pruned(separator, known))
        case .members(let members, let rest, let separator):
            let usable = members.compactMap { member in
                kept(member.text).map {
                    Expression.Member(text: $0, isRequired: member.isRequired)
                }
            }
            return .members(
                usable, rest: rest.flatMap(kept), separator: pruned(separator, known))
        }
    }

    /// What holds of rules where it holds of what they are made of.
    private static func fixpoint(
        _ rules: RuleSet, _ holds: (Expression, [Bool]) -> Bool
    ) -> [Bool] {
        var known = [Bool](repeating: false, count: rules.count)
        var changes = true
        // To and fro: chains of rules in either order take two rounds.
        var isForward = false
        while changes {
            changes = false
            for step in 0..<rules.count {
                let index = isForward ? step : rules.count - 1 - step
                if !known[index], holds(rules.bodies[index] ?? .nothing, known) {
                    known[index] = true
                    changes = true
                }
            }
            isForward.toggle()
        }
        return known
    }

    /// Whether nothing is one of its texts.
    private static func isNullable(_ expression: Expression, _ known: [Bool]) -> Bool {
        switch expression {
        case .bytes(let bytes): bytes.isEmpty
        case .scalar, .token: false
        case .rule(let rule): known[rule.index]
        case .sequence(let parts): parts.allSatisfy { isNullable($0, known) }
        case .choice(let alternatives): alternatives.contains { isNullable($0, known) }
        case .repetition(let part, let least, _): least == 0 || isNullable(part, known)
        case .elements(_, let least, _, _): least == 0
        case .members(let members, _, _): members.allSatisfy { !$0.isRequired }
        }
    }

    /// Whether there is a text of it that ends.
    private static func canEnd(_ expression: Expression, _ known: [Bool]) -> Bool {
        switch expression {
        case .bytes, .token: true
        case .scalar(let ranges): !ranges.isEmpty
        case .rule(let rule): known[rule.index]
        case .sequence(let parts): parts.allSatisfy { canEnd($0, known) }
        case .choice(let alternatives): alternatives.contains { canEnd($0, known) }
        case .repetition(let part, let least, _): least == 0 || canEnd(part, known)
        case .elements(let values, let least, _, _):
            values.prefix(least).allSatisfy { canEnd($0, known) }
        case .members(let members, _, _):
            members.allSatisfy { !$0.isRequired || canEnd($0.text, known) }
        }
    }

    /// Depth first, with a stack of its own: chains of rules may be long.
    private static func refuseLeftRecursion(
        _ rules: RuleSet, _ nullable: [Bool]
    ) throws(ConstraintError) {
        let corners = rules.bodies.map { body in
            var corners: Set<Int> = []
            _ = addCorners(of: body ?? .nothing, nullable, to: &corners)
            return corners.sorted()
        }
        // 0 is new, 1 on the way here, 2 done.
        var marks = [UInt8](repeating: 0, count: rules.count)
        for start in 0..<rules.count where marks[start] == 0 {
            var path = [(rule: start, next: 0)]
            marks[start] = 1
            while let (rule, next) = path.last {
                guard next < corners[rule].count else {
                    marks[rule] = 2
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                let corner = corners[rule][next]
                guard marks[corner] != 1 else {
                    throw .rule(
                        name: rules.names[corner],
                        problem: "begins with itself (left recursion)")
                }
                if marks[corner] == 0 {
                    marks[corner] = 1
                    path.append((corner, 0))
                }
            }
        }
    }

    /// Adds rules that an expression may begin with.
    ///
    /// - Returns: whether nothing is one of its texts, and what follows may be its beginning.
    private static func addCorners(
        of expression: Expression, _ nullable: [Bool], to corners: inout Set<Int>
    ) -> Bool {
        switch expression {
        case .bytes(let bytes): return bytes.isEmpty
        case .scalar, .token: return false
        case .rule(let rule):
            corners.insert(rule.index)
            return nullable[rule.index]
        case .sequence(let parts):
            for part in parts where !addCorners(of: part, nullable, to: &corners) { return false }
            return true
        case .choice(let alternatives):
            var isNullable = false
            for alternative in alternatives
            where addCorners(of: alternative, nullable, to: &corners) { isNullable = true }
            return isNullable
        case .repetition(let part, let least, _):
            return addCorners(of: part, nullable, to: &corners) || least == 0
        case .elements(let values, let least, let rest, let separator):
            // The separator comes first where values may be nothing.
            for part in values + [rest ?? .nothing, separator] {
                _ = addCorners(of: part, nullable, to: &corners)
            }
            return least == 0
        case .members(let members, let rest, let separator):
            for part in members.map(\.text) + [rest ?? .nothing, separator] {
                _ = addCorners(of: part, nullable, to: &corners)
            }
            return members.allSatisfy { !$0.isRequired }
        }
    }
}
