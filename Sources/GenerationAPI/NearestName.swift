// What somebody may have meant who wrote a name that there is not.

/// The nearest of some names.
package enum NearestName {
    /// Longer texts are nobody's slip of the pen.
    private static let lengthMax = 80

    /// The one of `names` that the fewest edits make of `name`; nil when it takes more than a third
    /// of its length. Edits are insertions, removals, replacements and swaps of neighbours (Damerau
    /// 1964). The first wins a tie.
    package static func among(_ names: some Sequence<String>, to name: String) -> String? {
        let wanted = Array(name.lowercased().utf8)
        guard !wanted.isEmpty, wanted.count <= lengthMax else { return nil }
        var best: (name: String, edits: Int)?
        for candidate in names {
            let edits = edits(wanted, Array(candidate.lowercased().utf8))
            if edits <= max(1, wanted.count / 3), edits < best?.edits ?? .max {
                best = (candidate, edits)
            }
        }
        return best?.name
    }

    /// As a clause to end a complaint with, or nothing.
    package static func hint(_ names: some Sequence<String>, to name: String) -> String {
        among(names, to: name).map { "; did you mean '\($0)'?" } ?? ""
    }

    /// The optimal string alignment distance.
    private static func edits(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard right.count <= lengthMax * 2 else { return .max }
        var older: [Int] = []
        var last = Array(0...right.count)
        for row in left.indices {
            var next = [row + 1]
            for column in right.indices {
                let isSame = left[row] == right[column]
                var edits = min(last[column] + (isSame ? 0 : 1), last[column + 1] + 1)
                edits = min(edits, next[column] + 1)
                let isSwap =
                    row > 0 && column > 0 && left[row] == right[column - 1]
                    && left[row - 1] == right[column]
                if isSwap { edits = min(edits, older[column - 1] + 1) }
                next.append(edits)
            }
            (older, last) = (last, next)
        }
        return last[right.count]
    }
}
