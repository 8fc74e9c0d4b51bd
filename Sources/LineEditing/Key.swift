// What was typed: a terminal's bytes as keys. Knows UTF-8, the control characters, and the escape
// sequences of ECMA-48 and xterm that keys and pastes send.

/// A key, or text that came at once.
package enum Key: Equatable, Sendable {
    case text(String)
    /// Text between paste brackets; newlines are all `\n`.
    case paste(String)
    /// A paste that was longer than the limit, and is gone.
    case pasteTooLong
    case enter
    /// Alt-Enter.
    case newline
    case backspace, delete
    case left, right, up, down, home, end, wordLeft, wordRight
    case killToStart, killToEnd, killWordLeft, killWordRight, yank
    case clearScreen, interrupt, endOfInput, suspend
    /// A key that does nothing here.
    case other
}

/// Takes bytes as they come, split anywhere.
package struct KeyParser {
    private enum State {
        case plain
        case escape
        /// After ESC [, with its parameters so far.
        case sequence([UInt8])
        /// After ESC O.
        case singleShift
        /// After ESC [ [, as the Linux console's function keys.
        case consoleFunction
        case paste
    }

    private static let pasteEnd = Array("\u{1B}[201~".utf8)
    /// Longest escape sequence that is waited for.
    private static let sequenceMax = 32

    private let pasteBytesMax: Int
    private var state = State.plain
    private var text: [UInt8] = []
    private var pasted: [UInt8] = []
    /// Bytes of a paste beyond the limit have been dropped.
    private var isTooLong = false
    private var keys: [Key] = []

    package init(pasteBytesMax: Int) { self.pasteBytesMax = pasteBytesMax }

    /// Whether an escape sequence or a character has begun, and only time tells whether it goes
    /// on.
    package var isUndecided: Bool {
        switch state {
        case .plain: !text.isEmpty
        case .paste: false
        default: true
        }
    }

    /// The keys in `bytes`. What has begun at their end waits for more.
    package mutating func keys(_ bytes: some Sequence<UInt8>) -> [Key] {
        for byte in bytes { take(byte) }
        endText(isLast: false)
        defer { keys = [] }
        return keys
    }

    /// What is undecided is not going to be more: a lone Escape is nothing.
    package mutating func settle() -> [Key] {
        guard isUndecided else { return [] }
        state = .plain
        endText(isLast: true)
        defer { keys = [] }
        return keys
    }

    private mutating func take(_ byte: UInt8) {
        switch state {
        case .plain: takePlain(byte)
        case .escape: takeAfterEscape(byte)
        case .sequence(let parameters): takeSequence(byte, parameters)
        case .singleShift:
            state = .plain
            keys.append(Self.letterKey(byte, isWord: false))
        case .consoleFunction:
            state = .plain
            keys.append(.other)
        case .paste: takePasted(byte)
        }
    }

    private mutating func takePlain(_ byte: UInt8) {
        guard byte < 0x20 || byte == 0x7F else { return text.append(byte) }
        if byte == 0x09 { return text.append(byte) }
        endText(isLast: true)
        if byte == 0x1B { state = .escape } else { keys.append(Self.control(byte)) }
    }

    /// Text so far becomes a key. Unless it is the last, the beginning of a character stays.
    private mutating func endText(isLast: Bool) {
        let count = isLast ? text.count : Self.wholeCharacters(text)
        guard count > 0 else { return }
        keys.append(.text(String(decoding: text[..<count], as: UTF8.self)))
        text.removeFirst(count)
    }

    /// Bytes without the beginning of a UTF-8 sequence at their end (RFC 3629).
    private static func wholeCharacters(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > back ? bytes.count - back : bytes.count
        }
        return bytes.count
    }

    private static func control(_ byte: UInt8) -> Key {
        switch byte {
        case 0x01: .home
        case 0x02: .left
        case 0x03: .interrupt
        case 0x04: .endOfInput
        case 0x05: .end
        case 0x06: .right
        case 0x08, 0x7F: .backspace
        case 0x0A, 0x0D: .enter
        case 0x0B: .killToEnd
        case 0x0C: .clearScreen
        case 0x0E: .down
        case 0x10: .up
        case 0x15: .killToStart
        case 0x17: .killWordLeft
        case 0x19: .yank
        case 0x1A: .suspend
        default: .other
        }
    }

    private mutating func takeAfterEscape(_ byte: UInt8) {
        state = .plain
        switch byte {
        case UInt8(ascii: "["): state = .sequence([])
        case UInt8(ascii: "O"): state = .singleShift
        case 0x1B: state = .escape
        case UInt8(ascii: "b"): keys.append(.wordLeft)
        case UInt8(ascii: "f"): keys.append(.wordRight)
        case UInt8(ascii: "d"): keys.append(.killWordRight)
        case 0x08, 0x7F: keys.append(.killWordLeft)
        case 0x0A, 0x0D: keys.append(.newline)
        default: takePlain(byte)
        }
    }

    private mutating func takeSequence(_ byte: UInt8, _ parameters: [UInt8]) {
        switch byte {
        case UInt8(ascii: "[") where parameters.isEmpty: state = .consoleFunction
        case 0x20...0x3F where parameters.count < Self.sequenceMax:
            state = .sequence(parameters + [byte])
        case 0x40...0x7E:
            state = .plain
            finishSequence(byte, String(decoding: parameters, as: UTF8.self))
        default:
            // No sequence after all; control characters keep their meaning.
            state = .plain
            if byte < 0x20 { takePlain(byte) }
        }
    }

    private mutating func finishSequence(_ last: UInt8, _ parameters: String) {
        let numbers = parameters.split(separator: ";", omittingEmptySubsequences: false)
        // xterm's modifiers are 1 and the sum of shift 1, alt 2, control 4.
        let modifier = numbers.count > 1 ? (Int(numbers[1]) ?? 1) - 1 : 0
        let isWord = modifier & 6 != 0
        guard last == UInt8(ascii: "~") else {
            return keys.append(Self.letterKey(last, isWord: isWord))
        }
        switch numbers.first {
        case "1", "7": keys.append(.home)
        case "4", "8": keys.append(.end)
        case "3": keys.append(isWord ? .killWordRight : .delete)
        case "200": state = .paste
        default: keys.append(.other)
        }
    }

    private static func letterKey(_ letter: UInt8, isWord: Bool) -> Key {
        switch letter {
        case UInt8(ascii: "A"): .up
        case UInt8(ascii: "B"): .down
        case UInt8(ascii: "C"): isWord ? .wordRight : .right
        case UInt8(ascii: "D"): isWord ? .wordLeft : .left
        case UInt8(ascii: "F"): .end
        case UInt8(ascii: "H"): .home
        case UInt8(ascii: "M"): .enter  // the keypad's
        default: .other
        }
    }

    private mutating func takePasted(_ byte: UInt8) {
        pasted.append(byte)
        if byte == UInt8(ascii: "~"), pasted.suffix(Self.pasteEnd.count) == Self.pasteEnd[...] {
            pasted.removeLast(Self.pasteEnd.count)
            let isFitting = !isTooLong && pasted.count <= pasteBytesMax
            keys.append(isFitting ? .paste(Self.unified(pasted)) : .pasteTooLong)
            pasted = []
            isTooLong = false
            state = .plain
        } else if pasted.count > pasteBytesMax + Self.pasteEnd.count {
            isTooLong = true
            pasted.removeFirst(pasted.count - Self.pasteEnd.count)
        }
    }

    /// Text with `\n` for every newline: terminals send carriage returns.
    private static func unified(_ bytes: [UInt8]) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for (index, byte) in bytes.enumerated() {
            if byte == 0x0A, index > 0, bytes[index - 1] == 0x0D { continue }
            result.append(byte == 0x0D ? 0x0A : byte)
        }
        return String(decoding: result, as: UTF8.self)
    }
}
