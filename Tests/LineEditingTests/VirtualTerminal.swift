// A terminal's screen, as far as the line editor uses it: what would be seen.

import LineEditing

/// Rows of columns; an empty string is the right half of a wide character, nil an empty place.
struct VirtualTerminal {
    let columns: Int
    let height: Int
    private(set) var rows: [[String?]]
    private(set) var row = 0
    private(set) var column = 0
    /// The last column was written: the next character begins a new row.
    private var isPending = false

    init(columns: Int, height: Int) {
        self.columns = columns
        self.height = height
        rows = Array(repeating: Array(repeating: nil, count: columns), count: height)
    }

    /// The rows down to the last that holds something, without spaces at their ends.
    var text: [String] {
        var lines = rows.map { row in
            var line = row.map { $0 ?? " " }.joined()
            while line.last == " " { line.removeLast() }
            return line
        }
        while lines.last == "" { lines.removeLast() }
        return lines
    }

    mutating func write(_ text: String) {
        var rest = text[...]
        while let character = rest.popFirst() {
            switch character {
            case "\u{1B}": obey(&rest)
            case "\r\n":
                column = 0
                lineFeed()
            case "\r": (column, isPending) = (0, false)
            case "\n": lineFeed()
            case "\u{8}": (column, isPending) = (max(0, column - 1), false)
            default: put(character)
            }
        }
    }

    private mutating func lineFeed() {
        isPending = false
        if row + 1 < height {
            row += 1
        } else {
            rows.removeFirst()
            rows.append(Array(repeating: nil, count: columns))
        }
    }

    private mutating func put(_ character: Character) {
        let width = Glyph(character).columns
        if isPending || column + width > columns {
            column = 0
            lineFeed()
        }
        rows[row][column] = String(character)
        for extra in 1..<max(1, width) { rows[row][column + extra] = "" }
        column += width
        if column == columns { (column, isPending) = (columns - 1, true) }
    }

    private mutating func obey(_ rest: inout Substring) {
        precondition(rest.popFirst() == "[", "a control sequence")
        let parameters = rest.prefix { !$0.isLetter }
        rest = rest.dropFirst(parameters.count)
        let count = Int(parameters) ?? 1
        isPending = false
        switch rest.popFirst() {
        case "A": row = max(0, row - count)
        case "B": row = min(height - 1, row + count)
        case "C": column = min(columns - 1, column + count)
        case "D": column = max(0, column - count)
        case "H": (row, column) = (0, 0)
        case "J":
            let start = parameters == "2" ? (0, 0) : (row, column)
            for index in start.0..<height {
                for place in (index == start.0 ? start.1 : 0)..<columns { rows[index][place] = nil }
            }
        default: preconditionFailure("a sequence that the editor does not use")
        }
    }
}
