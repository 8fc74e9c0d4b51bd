// Splitting takes linear time for any text: hostile ones are counted, not timed.

import TestSupport
import Testing
import Tokenization

@Suite struct SplittingWorkTests {
    /// What a matcher may be led to look at again and again: runs of each kind of character, and
    /// beginnings of what some rule takes, whose end does not come.
    private static let parts = [
        "a", "A", "é", "中", "가", "ㄅ", "เ", "1", "２", " ", "\t", "\n", "\r\n", "\u{3000}", "\u{301}",
        "🚀", "!", "/", "'", "'r", "-a", "、", "€", "\u{200b}", " a", " 1", " !", "A\u{301}",
        "<sentinel:", "<sentinel:1", "IMGIMG", "IMGIMGA", "\n ", "a ", "Aa", "111 "
    ]
    private static let bytesMin = 8000
    /// No rule has more steps than seven, and none looks at a scalar more than a few times.
    private static let looksPerByteMax = 32

    private func expectLinear(_ text: [UInt8], _ name: String, _ tokenizer: Tokenizer) throws {
        let looks = try #require(tokenizer.looks(splitting: text))
        #expect(looks >= text.count / 4, "\(name)")
        #expect(
            looks <= Self.looksPerByteMax * text.count,
            "\(name): \(String(decoding: text.prefix(60), as: UTF8.self).debugDescription)")
    }

    @Test func everyRuleIsLinear() throws {
        for cases in try fixture("pre-tokenizers.json", as: [PreTokenizerCases].self) {
            for name in cases.groups.compactMap(\.names.first) {
                let tokenizer = try Tokenizer(cases.vocabulary.vocabulary(preTokenizer: name))
                for part in Self.parts {
                    let unit = Array(part.utf8)
                    let run = [[UInt8]](repeating: unit, count: Self.bytesMin / unit.count)
                    let text = Array(run.joined())
                    try expectLinear(text, name, tokenizer)
                    // Something else before or behind the run.
                    try expectLinear(Array("a1! \u{301}\n<".utf8) + text, name, tokenizer)
                    try expectLinear(text + Array("x".utf8), name, tokenizer)
                }
            }
        }
    }

    @Test func randomRunsAreLinear() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        for cases in try fixture("pre-tokenizers.json", as: [PreTokenizerCases].self) {
            for name in cases.groups.compactMap(\.names.first) {
                let tokenizer = try Tokenizer(cases.vocabulary.vocabulary(preTokenizer: name))
                for _ in 0..<10 {
                    var text: [UInt8] = []
                    while text.count < Self.bytesMin {
                        let part = Self.parts.randomElement(using: &generator) ?? ""
                        let repeats = Int.random(in: 1...2000, using: &generator)
                        for _ in 0..<repeats { text += part.utf8 }
                    }
                    try expectLinear(text, "seed \(seed), \(name)", tokenizer)
                }
            }
        }
    }
}
