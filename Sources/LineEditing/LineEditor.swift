// A line editor without a terminal: bytes in, what to write on the screen and finished lines out.
// docs/ARCHITECTURE.md says why it is our own.

/// Edits one line after the other. A line that begins with `"""` goes on until one ends with it.
package struct LineEditor {
    /// What a key has brought about.
    package enum Outcome: Equatable, Sendable {
        case submitted(String)
        /// Ctrl-C; whether there was something to drop.
        case interrupted(hadText: Bool)
        /// Ctrl-D in an empty line.
        case ended
        /// Ctrl-Z.
        case suspended
        /// What was typed or pasted would make the line longer than it may be, and is not in it.
        case tooLong
    }

    /// What the terminal can do.
    package enum Style: Sendable {
        case full
        /// Only writing and going back.
        case plain
    }

    /// Bytes of a line.
    package static let bytesMax = 1 << 20
    package static let blockMark = "\"\"\""
    private static let more = "... "

    package private(set) var history: History
    private let style: Style
    private var columns: Int
    private var rows: Int
    private var prompt = ""
    private var parser = KeyParser(pasteBytesMax: bytesMax)
    /// Typed ahead.
    private var waiting: [Key] = []
    private var text = EditedText()
    private var screen: Screen
    private var plain = PlainScreen()
    /// The entry that is shown; its count is the line that was being typed, which is in `draft`.
    private var entry = 0
    private var draft = ""

    package init(style: Style, columns: Int, rows: Int, history: History = History()) {
        self.style = style
        self.columns = max(8, columns)
        self.rows = max(2, rows)
        self.history = history
        screen = Screen(columns: self.columns)
    }

    /// Begins an empty line. Returns what to write.
    package mutating func begin(prompt: String) -> String {
        self.prompt = prompt
        text = EditedText()
        entry = history.entries.count
        draft = ""
        return redrawn()
    }

    /// The line again, from the cursor on: after something else was written.
    package mutating func redrawn() -> String {
        screen.begin(columns: columns)
        plain.begin()
        return (style == .plain ? prompt : "") + update()
    }

    /// Takes bytes from the terminal; ``step()`` says what they do.
    package mutating func feed(_ bytes: [UInt8]) { waiting += parser.keys(bytes) }

    /// Whether more bytes may belong to what came; see ``settle()``.
    package var isUndecided: Bool { parser.isUndecided }

    /// Nothing more came for a moment: an Escape was only that.
    package mutating func settle() { waiting += parser.settle() }

    /// Works off keys until one has an outcome, nil when none has.
    ///
    /// - Returns: what to write, and the outcome, which comes after it.
    package mutating func step() -> (screen: String, outcome: Outcome?) {
        var taken = 0
        defer { waiting.removeFirst(taken) }
        for key in waiting {
            taken += 1
            if key == .clearScreen {
                if style == .full { return ("\u{1B}[H\u{1B}[2J" + redrawn(), nil) }
            } else if let outcome = apply(key) {
                return (finish(outcome), outcome)
            }
        }
        return (update(), nil)
    }

    /// Whether keys wait, as after a ``step()`` that had an outcome.
    package var hasMore: Bool { !waiting.isEmpty }

    /// The window has another size. Returns what to write.
    package mutating func resize(columns: Int, rows: Int) -> String {
        (self.columns, self.rows) = (max(8, columns), max(2, rows))
        guard style == .full else { return "" }
        return screen.rewrap(columns: self.columns) + update()
    }

    /// Keeps a line for the arrow keys.
    package mutating func remember(_ line: String) { history.add(line) }

    // MARK: Keys

    private mutating func apply(_ key: Key) -> Outcome? {
        switch key {
        case .text(let added), .paste(let added): return insert(added)
        case .pasteTooLong: return .tooLong
        case .newline: return insert("\n")
        case .enter: return isOpenBlock ? insert("\n") : .submitted(text.text)
        case .interrupt: return .interrupted(hadText: !text.isEmpty)
        case .endOfInput:
            guard !text.isEmpty else { return .ended }
            text.deleteForward()
        case .suspend: return .suspended
        default: edit(key)
        }
        return nil
    }

    /// Whether a block has begun and not ended.
    private var isOpenBlock: Bool {
        let mark = Self.blockMark
        let line = text.text
        guard line.hasPrefix(mark) else { return false }
        let end = line.hasSuffix("\n") ? line.dropLast() : line[...]
        return !(end.hasSuffix(mark) && end.utf8.count >= 2 * mark.utf8.count)
    }

    private mutating func insert(_ added: String) -> Outcome? {
        guard added.utf8.count + text.byteCount <= Self.bytesMax else { return .tooLong }
        if style == .plain { text.moveToEnd() }
        text.insert(added)
        return nil
    }

    private mutating func edit(_ key: Key) {
        switch key {
        case .backspace: text.deleteBack()
        case .killToStart: text.killToLineStart()
        case .killWordLeft: text.killWordLeft()
        case .yank: text.yank()
        case .up: if !text.moveUp() { recall(entry - 1) }
        case .down: if !text.moveDown() { recall(entry + 1) }
        default: if style == .full { move(key) }
        }
    }

    /// What needs a cursor that goes anywhere.
    private mutating func move(_ key: Key) {
        switch key {
        case .delete: text.deleteForward()
        case .left: text.moveLeft()
        case .right: text.moveRight()
        case .home: text.moveToLineStart()
        case .end: text.moveToLineEnd()
        case .wordLeft: text.moveWordLeft()
        case .wordRight: text.moveWordRight()
        case .killToEnd: text.killToLineEnd()
        case .killWordRight: text.killWordRight()
        default: break
        }
    }

    /// Shows another line of the history; the one being typed comes after the last.
    private mutating func recall(_ index: Int) {
        let entries = history.entries
        guard index >= 0, index <= entries.count, index != entry else { return }
        if entry == entries.count { draft = text.text }
        entry = index
        text.replace(with: index == entries.count ? draft : entries[index])
    }

    // MARK: Screen

    private func glyphs(_ text: String) -> [Glyph] { text.map { Glyph($0) } }

    private func layout(height: Int?) -> Layout {
        Layout(
            text.glyphs, cursor: height == nil ? text.glyphs.count : text.cursor,
            prompt: glyphs(prompt), more: glyphs(Self.more), columns: columns, height: height)
    }

    private mutating func update() -> String {
        switch style {
        case .full: screen.update(to: layout(height: rows))
        case .plain: plain.update(to: text.glyphs, prompt: prompt, more: Self.more)
        }
    }

    /// What ends a line on the screen: all of it, and a new line.
    private mutating func finish(_ outcome: Outcome) -> String {
        let mark = if case .interrupted = outcome { "^C" } else { "" }
        guard style == .full else { return update() + mark + "\r\n" }
        let layout = layout(height: nil)
        guard layout.rows.count > rows else { return screen.update(to: layout) + mark + leave() }
        // More than the window: from its first row on, over what is shown.
        let start = screen.rewrap(columns: columns)
        return start + screen.update(to: layout) + mark + leave()
    }

    private mutating func leave() -> String { screen.leave() }
}
