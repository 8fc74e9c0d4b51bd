// The text being typed, and the cursor in it: whole characters as a reader sees them (extended
// grapheme clusters, UAX #29).

internal import LinuxSystem

/// A character and what it takes on the screen.
package struct Glyph: Equatable, Sendable {
    package let character: Character
    /// What is written for it.
    package let shown: String
    package let columns: Int

    private static let tabColumns = 4

    /// Control characters are shown as `^A` and the like, and never sent to the terminal.
    package init(_ character: Character) {
        self.character = character
        let columns = TextColumns.of(character)
        if character == "\t" {
            shown = String(repeating: " ", count: Self.tabColumns)
            self.columns = Self.tabColumns
        } else if let byte = character.asciiValue, byte < 0x20 || byte == 0x7F {
            shown = "^" + String(UnicodeScalar(byte ^ 0x40))
            self.columns = 2
        } else if columns == 0 || character.unicodeScalars.contains(where: Self.isControl) {
            shown = "\u{FFFD}"
            self.columns = 1
        } else {
            shown = String(character)
            self.columns = columns
        }
    }

    /// C1 controls, which some terminals obey.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        (0x80...0x9F).contains(scalar.value)
    }

    var isNewline: Bool { character == "\n" }
}

/// A line, or a block of several, with a cursor before one of its characters or at its end.
struct EditedText {
    private(set) var glyphs: [Glyph] = []
    private(set) var cursor = 0
    /// Bytes of the text as UTF-8.
    private(set) var byteCount = 0
    /// What was killed last.
    private var killed: [Glyph] = []

    var text: String { String(glyphs.map(\.character)) }
    var isEmpty: Bool { glyphs.isEmpty }

    mutating func replace(with text: String) { put(text.map { Glyph($0) }, in: glyphs.indices) }

    /// Puts `new` in the place of `range`, and the cursor behind.
    private mutating func put(_ new: [Glyph], in range: Range<Int>) {
        func bytes(_ glyphs: some Sequence<Glyph>) -> Int {
            glyphs.reduce(0) { $0 + $1.character.utf8.count }
        }
        byteCount += bytes(new) - bytes(glyphs[range])
        glyphs.replaceSubrange(range, with: new)
        cursor = range.lowerBound + new.count
    }

    /// Inserts at the cursor. A combining mark joins the character before it.
    mutating func insert(_ text: String) {
        var text = text
        var start = cursor
        if start > 0, !glyphs[start - 1].isNewline {
            start -= 1
            text = String(glyphs[start].character) + text
        }
        put(text.map { Glyph($0) }, in: start..<cursor)
    }

    mutating func moveLeft() { cursor = max(0, cursor - 1) }
    mutating func moveRight() { cursor = min(glyphs.count, cursor + 1) }
    mutating func moveToEnd() { cursor = glyphs.count }

    /// The first character of the cursor's line, and the end of that line.
    private var line: Range<Int> {
        let start = glyphs[..<cursor].lastIndex(where: \.isNewline).map { $0 + 1 } ?? 0
        return start..<(glyphs[cursor...].firstIndex(where: \.isNewline) ?? glyphs.count)
    }

    mutating func moveToLineStart() { cursor = line.lowerBound }
    mutating func moveToLineEnd() { cursor = line.upperBound }

    /// To the line above, as far from its start; false in the first line.
    mutating func moveUp() -> Bool {
        let here = line
        guard here.lowerBound > 0 else { return false }
        let distance = cursor - here.lowerBound
        cursor = here.lowerBound - 1
        cursor = min(line.lowerBound + distance, here.lowerBound - 1)
        return true
    }

    /// To the line below; false in the last line.
    mutating func moveDown() -> Bool {
        let here = line
        guard here.upperBound < glyphs.count else { return false }
        let distance = cursor - here.lowerBound
        cursor = here.upperBound + 1
        cursor = min(cursor + distance, line.upperBound)
        return true
    }

    private func isWord(_ index: Int) -> Bool {
        let character = glyphs[index].character
        return character.isLetter || character.isNumber || character == "_"
    }

    /// Before the word at or before the cursor.
    private var wordStart: Int {
        var place = cursor
        while place > 0, !isWord(place - 1) { place -= 1 }
        while place > 0, isWord(place - 1) { place -= 1 }
        return place
    }

    /// After the word at or after the cursor.
    private var wordEnd: Int {
        var place = cursor
        while place < glyphs.count, !isWord(place) { place += 1 }
        while place < glyphs.count, isWord(place) { place += 1 }
        return place
    }

    mutating func moveWordLeft() { cursor = wordStart }
    mutating func moveWordRight() { cursor = wordEnd }

    mutating func deleteBack() {
        guard cursor > 0 else { return }
        put([], in: cursor - 1..<cursor)
    }

    mutating func deleteForward() {
        guard cursor < glyphs.count else { return }
        put([], in: cursor..<cursor + 1)
    }

    private mutating func kill(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        killed = Array(glyphs[range])
        put([], in: range)
    }

    mutating func killToLineStart() { kill(line.lowerBound..<cursor) }

    /// At a line's end, its newline goes.
    mutating func killToLineEnd() {
        let end = line.upperBound
        kill(cursor..<(end == cursor ? min(end + 1, glyphs.count) : end))
    }

    mutating func killWordRight() { kill(cursor..<wordEnd) }

    /// As shells' Ctrl-W: up to white space.
    mutating func killWordLeft() {
        var place = cursor
        while place > 0, glyphs[place - 1].character.isWhitespace { place -= 1 }
        while place > 0, !glyphs[place - 1].character.isWhitespace { place -= 1 }
        kill(place..<cursor)
    }

    mutating func yank() { insert(String(killed.map(\.character))) }
}
