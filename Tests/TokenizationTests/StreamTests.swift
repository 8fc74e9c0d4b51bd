// Streams against plain references that see the whole text.

import TestSupport
import Testing
import Tokenization

@Suite struct StreamDecoderTests {
    @Test func wholeCharactersOnly() {
        var decoder = StreamDecoder()
        #expect(decoder.append([0x61, 0xF0, 0x9F]) == "a")
        #expect(decoder.append([0xA6]) == "")
        #expect(decoder.append([0x99, 0xE4]) == "🦙")
        #expect(decoder.finish() == "\u{FFFD}")
        #expect(decoder.finish() == "")
        #expect(decoder.append([0x62]) == "b")
    }

    /// The Unicode Standard's own example (table 3-8 and those after it).
    @Test func maximalSubparts() {
        let examples: [([UInt8], String)] = [
            ([0xC0, 0xAF, 0xE0, 0x80, 0xBF, 0xF0, 0x81, 0x82, 0x41], "\u{FFFD}x8 A"),
            ([0xED, 0xA0, 0x80, 0xED, 0xBF, 0xBF, 0xED, 0xAF, 0x41], "\u{FFFD}x8 A"),
            ([0xF4, 0x91, 0x92, 0x93, 0xFF, 0x41, 0x80, 0xBF, 0x42], "\u{FFFD}x5 A \u{FFFD}x2 B"),
            ([0xE1, 0x80, 0xE2, 0xF0, 0x91, 0x92, 0xF1, 0xBF, 0x41], "\u{FFFD}x4 A")
        ]
        for (bytes, pattern) in examples {
            var expected = ""
            for part in pattern.split(separator: " ") {
                let pieces = part.split(separator: "x")
                let times = pieces.count > 1 ? Int(pieces[1]) ?? 0 : 1
                expected += String(repeating: String(pieces[0]), count: times)
            }
            var decoder = StreamDecoder()
            #expect(decoder.append(bytes) + decoder.finish() == expected)
        }
    }

    @Test func anyDivisionGivesTheSameText() {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        for _ in 0..<500 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...20, using: &generator) {
                if Bool.random(using: &generator) {
                    bytes.append(UInt8.random(in: 0x70...0xFF, using: &generator))
                } else {
                    bytes += Array("é中🦙a".utf8).prefix(Int.random(in: 1...10, using: &generator))
                }
            }
            var decoder = StreamDecoder()
            var text = ""
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...min(5, rest.count), using: &generator)
                text += decoder.append(rest.prefix(count))
                rest = rest.dropFirst(count)
            }
            text += decoder.finish()
            #expect(
                Array(text.utf8) == Array(String(decoding: bytes, as: UTF8.self).utf8),
                "seed \(seed), \(bytes)")
        }
    }
}

@Suite struct StopMatcherTests {
    /// The text before the first stop string, by looking at every prefix of the whole.
    private func reference(_ text: String, _ stops: [String]) -> (emit: String, stopped: Bool) {
        let bytes = Array(text.utf8)
        for end in 0...bytes.count {
            let matches = stops.map { Array($0.utf8) }.filter { stop in
                !stop.isEmpty && stop.count <= end
                    && bytes[(end - stop.count)..<end].elementsEqual(stop)
            }
            if let longest = matches.map(\.count).max() {
                return (String(decoding: bytes[..<(end - longest)], as: UTF8.self), true)
            }
        }
        return (text, false)
    }

    @Test func stopsAcrossPieces() {
        var matcher = StopMatcher(["<|end|>", "User:"])
        #expect(matcher.append("Hello <|e") == ("Hello ", false))
        #expect(matcher.append("at") == ("<|eat", false))
        #expect(matcher.append(" Use") == (" ", false))
        #expect(matcher.append("r: more") == ("", true))
        #expect(matcher.append("text") == ("", true))
        #expect(matcher.matched == "User:")
        #expect(matcher.finish() == "")
        var unfinished = StopMatcher(["abc"])
        #expect(unfinished.append("xab") == ("x", false))
        #expect(unfinished.finish() == "ab" && unfinished.matched == nil)
        var none = StopMatcher([""])
        #expect(none.append("abc") == ("abc", false))
    }

    @Test func anyDivisionIsAsTheWholeText() {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        let alphabet = ["a", "b", "é", "中"]
        func word(_ lengths: ClosedRange<Int>) -> String {
            (0..<Int.random(in: lengths, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? ""
            }.joined()
        }
        for _ in 0..<1000 {
            let stops = (0..<Int.random(in: 0...4, using: &generator)).map { _ in word(0...5) }
            let text = word(0...30)
            let expected = reference(text, stops)
            var matcher = StopMatcher(stops)
            var emitted = ""
            var stopped = false
            var rest = text[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...4, using: &generator))
                rest = rest.dropFirst(piece.count)
                let result = matcher.append(String(piece))
                emitted += result.emit
                stopped = result.stopped
                // What is held back is the beginning of some stop string.
                let seen = text.prefix(text.count - rest.count).dropFirst(emitted.count)
                #expect(stopped || seen.isEmpty || stops.contains { $0.hasPrefix(seen) })
            }
            emitted += matcher.finish()
            #expect(emitted == expected.emit, "seed \(seed), \(text), \(stops)")
            #expect(stopped == expected.stopped, "seed \(seed), \(text), \(stops)")
        }
    }

    /// Stop strings that make a naive search quadratic, or hold back everything.
    @Test func adversarialStops() {
        let run = String(repeating: "a", count: 20_000)
        var matcher = StopMatcher([run + "b", run + "c"] + (0..<1000).map { "\($0)aaa\($0)" })
        var emitted = ""
        for _ in 0..<4 { emitted += matcher.append(run).emit }
        #expect(emitted.utf8.count == 60_000)
        #expect(matcher.append("ac") == ("a", true))
    }
}
