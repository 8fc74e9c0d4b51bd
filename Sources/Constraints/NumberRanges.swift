// Numbers within bounds, as texts: which digits may follow which.

enum NumberRanges {
    /// What bounds are within: beyond, readers lose digits.
    static let largest: Int64 = 999_999_999_999_999

    /// Whole numbers from `least` to `most`.
    static func whole(_ least: Int64, _ most: Int64) -> Expression {
        var alternatives: [Expression] = []
        if least < 0 {
            let magnitudes = natural(most < 0 ? -most : 1, -least)
            alternatives.append(.sequence([.text("-"), magnitudes]))
        }
        if most >= 0 { alternatives.append(natural(max(0, least), most)) }
        return .choice(alternatives)
    }

    /// Numbers from `least` to `most`, of which fractions lie between whole numbers that are both
    /// within the bounds.
    static func fractions(_ least: Int64, _ most: Int64) -> Expression {
        let fraction = Expression.optional(
            .sequence([
                .text("."), .repetition(JSONRules.digit, least: 1, most: JSONRules.digitsMax)
            ]))
        var alternatives = [whole(least, most)]
        if least < 0 {
            // -n.x lies between -n-1 and -n.
            let (low, high) = (max(0, -most), -least - 1)
            if low <= high {
                alternatives.append(.sequence([.text("-"), natural(low, high), fraction]))
            }
        }
        if most > 0, max(0, least) <= most - 1 {
            alternatives.append(.sequence([natural(max(0, least), most - 1), fraction]))
        }
        return .choice(alternatives)
    }

    /// Whole numbers without a sign.
    private static func natural(_ least: Int64, _ most: Int64) -> Expression {
        guard least <= most else { return .choice([]) }
        var alternatives: [Expression] = []
        var low = least
        // Numbers of the same number of digits at a time.
        while low <= most {
            let count = String(low).utf8.count
            var last: Int64 = 9
            for _ in 1..<count { last = last * 10 + 9 }
            let high = min(most, last)
            alternatives.append(sameLength(Array(String(low).utf8), Array(String(high).utf8)))
            if high == most { break }
            low = high + 1
        }
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }

    /// Digits from `low` to `high`, which are as many.
    private static func sameLength(_ low: [UInt8], _ high: [UInt8]) -> Expression {
        guard let (first, last) = low.first.flatMap({ first in high.first.map { (first, $0) } })
        else { return .nothing }
        let rest = low.count - 1
        let (lowRest, highRest) = (Array(low.dropFirst()), Array(high.dropFirst()))
        let (zeros, nines) = (
            [UInt8](repeating: 0x30, count: rest), [UInt8](repeating: 0x39, count: rest)
        )
        func digits(_ first: UInt8, _ last: UInt8, _ rest: Expression) -> Expression {
            .sequence([.scalar(ScalarRanges([UInt32(first)...UInt32(last)])), rest])
        }
        let free = Expression.repetition(JSONRules.digit, least: rest, most: rest)
        if lowRest == zeros, highRest == nines { return digits(first, last, free) }
        if first == last { return digits(first, first, sameLength(lowRest, highRest)) }
        var alternatives: [Expression] = []
        var (from, to) = (first, last)
        if lowRest != zeros {
            alternatives.append(digits(first, first, sameLength(lowRest, nines)))
            from += 1
        }
        var end: Expression?
        if highRest != nines {
            end = digits(last, last, sameLength(zeros, highRest))
            to -= 1
        }
        if from <= to { alternatives.append(digits(from, to, free)) }
        if let end { alternatives.append(end) }
        return .choice(alternatives)
    }
}
