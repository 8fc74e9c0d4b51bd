// Keys from bytes, however they are split.

import LineEditing
import Testing

@Suite struct KeyParserTests {
    private func keys(_ bytes: [UInt8], pieces: Int = .max) -> [Key] {
        var parser = KeyParser(pasteBytesMax: 1 << 20)
        var found: [Key] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            found += parser.keys(rest.prefix(pieces))
            rest = rest.dropFirst(pieces)
        }
        return found
    }

    @Test(arguments: [
        ("\u{1B}[A", Key.up), ("\u{1B}OA", .up), ("\u{1B}[D", .left), ("\u{1B}[1;5D", .wordLeft),
        ("\u{1B}[H", .home), ("\u{1B}[1~", .home), ("\u{1B}[7~", .home), ("\u{1B}[4~", .end),
        ("\u{1B}OF", .end), ("\u{1B}[3~", .delete), ("\u{1B}b", .wordLeft),
        ("\u{1B}\u{7F}", .killWordLeft), ("\u{1B}\r", .newline), ("\u{1B}[[A", .other),
        ("\u{1B}[15~", .other), ("\r", .enter), ("\n", .enter), ("\u{7F}", .backspace),
        ("\u{8}", .backspace), ("\u{1}", .home), ("\u{3}", .interrupt), ("\u{4}", .endOfInput),
        ("\u{1A}", .suspend), ("é", .text("é")), ("日本", .text("日本")), ("\t", .text("\t"))
    ])
    func sequences(bytes: String, key: Key) {
        #expect(keys(Array(bytes.utf8)) == [key])
        // Characters split between reads are still whole.
        if case .text(let text) = key {
            let parts = keys(Array(bytes.utf8), pieces: 1).map { key in
                if case .text(let part) = key { part } else { "?" }
            }
            #expect(parts.joined() == text)
        } else {
            #expect(keys(Array(bytes.utf8), pieces: 1) == [key])
        }
    }

    @Test func aPasteIsOneKeyWithItsNewlines() {
        let paste = "\u{1B}[200~one\rtwo\r\nthree\nfour \u{3}\u{1B}[A\u{1B}[201~x"
        for pieces in [1, 3, Int.max] {
            #expect(
                keys(Array(paste.utf8), pieces: pieces) == [
                    .paste("one\ntwo\nthree\nfour \u{3}\u{1B}[A"), .text("x")
                ])
        }
    }

    @Test func aPasteBeyondTheLimitIsRefusedAsAWhole() {
        var parser = KeyParser(pasteBytesMax: 100)
        let body = String(repeating: "x", count: 101)
        #expect(
            parser.keys(Array("\u{1B}[200~\(body)\u{1B}[201~a".utf8)) == [.pasteTooLong, .text("a")]
        )
        let fitting = String(repeating: "y", count: 100)
        #expect(parser.keys(Array("\u{1B}[200~\(fitting)\u{1B}[201~".utf8)) == [.paste(fitting)])
    }

    @Test func escapeAloneIsNothingAndTakesNothingWithIt() {
        var parser = KeyParser(pasteBytesMax: 10)
        #expect(parser.keys([0x1B]).isEmpty && parser.isUndecided)
        #expect(parser.settle().isEmpty && !parser.isUndecided)
        #expect(parser.keys([UInt8(ascii: "b")]) == [.text("b")])
        #expect(parser.keys([0x1B, UInt8(ascii: "x")]) == [.text("x")])
    }

    @Test func whatIsNoUTF8IsReplaced() {
        var parser = KeyParser(pasteBytesMax: 10)
        #expect(parser.keys([0x61, 0xFF, 0x62]) == [.text("a\u{FFFD}b")])
        #expect(parser.keys([0xE6]).isEmpty)
        #expect(parser.settle() == [.text("\u{FFFD}")])
    }
}
