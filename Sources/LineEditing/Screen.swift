// What of the text is on the screen, and the least that must be written when it changes. A text
// that is longer than the window shows the part around the cursor.

/// A text laid out in a window's rows.
struct Layout: Equatable {
    /// Rows on the screen, each a prompt and what fits after it.
    var rows: [[Glyph]] = []
    var cursorRow = 0
    var cursorColumn = 0

    /// - Parameters:
    ///   - prompt: before the first line.
    ///   - more: before the others.
    ///   - height: rows at most; all where nil.
    init(
        _ glyphs: [Glyph], cursor: Int, prompt: [Glyph], more: [Glyph], columns: Int,
        height: Int?
    ) {
        // Where rows begin, and whether with a prompt.
        var starts = [(index: 0, lead: prompt)]
        var column = Self.columns(prompt)
        var cursorPlace = (row: 0, column: column)
        for (index, glyph) in glyphs.enumerated() {
            if !glyph.isNewline, column + glyph.columns > columns {
                starts.append((index, []))
                column = 0
            }
            if index == cursor { cursorPlace = (starts.count - 1, column) }
            column += glyph.isNewline ? 0 : glyph.columns
            if glyph.isNewline {
                starts.append((index + 1, more))
                column = Self.columns(more)
            }
        }
        // After a full row the cursor is in the next.
        if column >= columns {
            starts.append((glyphs.count, []))
            column = 0
        }
        if cursor == glyphs.count { cursorPlace = (starts.count - 1, column) }
        let shown = Self.window(starts.count, around: cursorPlace.row, height)
        for row in shown {
            let end = row + 1 < starts.count ? starts[row + 1].index : glyphs.count
            rows.append(starts[row].lead + glyphs[starts[row].index..<end].filter { !$0.isNewline })
        }
        cursorRow = cursorPlace.row - shown.lowerBound
        cursorColumn = min(cursorPlace.column, columns - 1)
    }

    /// Nothing yet: where the cursor is.
    init() { rows = [[]] }

    static func columns(_ glyphs: some Sequence<Glyph>) -> Int {
        glyphs.reduce(0) { $0 + $1.columns }
    }

    private static func window(_ count: Int, around row: Int, _ height: Int?) -> Range<Int> {
        guard let height, count > height else { return 0..<count }
        let start = min(max(0, row - height + 1), count - height)
        return start..<start + height
    }
}

/// Writes layouts one after the other over each other.
struct Screen {
    private var shown = Layout()
    private var columns: Int

    init(columns: Int) { self.columns = columns }

    /// Forgets what is shown: the next update begins at the cursor.
    mutating func begin(columns: Int) {
        shown = Layout()
        self.columns = columns
    }

    /// What to write so that `next` is shown instead.
    mutating func update(to next: Layout) -> String {
        var output = ""
        var (row, column) = (shown.cursorRow, shown.cursorColumn)
        if let change = Self.firstChange(shown.rows, next.rows) {
            let isPastEnd = change.row >= shown.rows.count
            let target = isPastEnd ? shown.rows.count - 1 : change.row
            let place = isPastEnd ? 0 : Layout.columns(next.rows[safe: target, change.glyphs])
            output += Self.move(from: row, column, to: target, place)
            let isShorter =
                !isPastEnd
                && (shown.rows.count > change.row + 1
                    || shown.rows[change.row].count > change.glyphs)
            if isShorter { output += "\u{1B}[J" }
            (row, column) = (target, place)
            for index in change.row..<max(change.row, next.rows.count) {
                let skipped = index == change.row && !isPastEnd ? change.glyphs : 0
                if index > row {
                    output += "\r\n"
                    (row, column) = (index, 0)
                }
                for glyph in next.rows[index].dropFirst(skipped) {
                    output += glyph.shown
                    column += glyph.columns
                }
            }
            // A row that is gone leaves the cursor at its start.
            if change.row >= next.rows.count { (row, column) = (target, 0) }
        }
        output += Self.move(from: row, column, to: next.cursorRow, next.cursorColumn)
        shown = next
        return output
    }

    /// After the last row, at the start of a new line.
    mutating func leave() -> String {
        let last = max(0, shown.rows.count - 1)
        let output = Self.move(from: shown.cursorRow, shown.cursorColumn, to: last, 0) + "\r\n"
        shown = Layout()
        return output
    }

    /// In a window of another width, where rows were wrapped again: everything is written anew.
    mutating func rewrap(columns next: Int) -> String {
        let above = shown.rows[..<min(shown.cursorRow, shown.rows.count)].reduce(0) {
            $0 + max(1, (Layout.columns($1) + next - 1) / next)
        }
        begin(columns: next)
        return (above > 0 ? "\u{1B}[\(above)A" : "") + "\r\u{1B}[J"
    }

    private static func move(from row: Int, _ column: Int, to nextRow: Int, _ next: Int) -> String {
        var output = ""
        if nextRow < row { output += "\u{1B}[\(row - nextRow)A" }
        if nextRow > row { output += "\u{1B}[\(nextRow - row)B" }
        guard next != column || nextRow != row else { return output }
        return output + "\r" + (next > 0 ? "\u{1B}[\(next)C" : "")
    }

    /// The first row that differs, and how many glyphs of it are the same.
    private static func firstChange(
        _ old: [[Glyph]], _ new: [[Glyph]]
    ) -> (row: Int, glyphs: Int)? {
        for row in 0..<max(old.count, new.count) {
            guard row < old.count, row < new.count else { return (row, 0) }
            guard old[row] != new[row] else { continue }
            let same = zip(old[row], new[row]).prefix { $0.0 == $0.1 }.count
            return (row, same)
        }
        return nil
    }
}

extension [[Glyph]] {
    /// The first `count` glyphs of a row; none of a row that is not there.
    fileprivate subscript(safe row: Int, count: Int) -> ArraySlice<Glyph> {
        row < self.count ? self[row].prefix(count) : []
    }
}

/// The same for terminals that can only write and go back: the cursor is always at the end.
struct PlainScreen {
    private var shown: [Glyph] = []

    mutating func begin() { shown = [] }

    mutating func update(to glyphs: [Glyph], prompt: String, more: String) -> String {
        let same = zip(shown, glyphs).prefix { $0.0 == $0.1 }.count
        let gone = shown[same...]
        var output = ""
        var added = glyphs[same...]
        if gone.contains(where: \.isNewline) {
            // Rows above cannot be reached.
            output = "\r\n" + prompt
            added = glyphs[...]
        } else {
            let columns = Layout.columns(gone)
            for part in ["\u{8}", " ", "\u{8}"] {
                output += String(repeating: part, count: columns)
            }
        }
        for glyph in added { output += glyph.isNewline ? "\r\n" + more : glyph.shown }
        shown = glyphs
        return output
    }
}
