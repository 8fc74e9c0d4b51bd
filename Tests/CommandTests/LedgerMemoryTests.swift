// What the ledger says against what the kernel says: a daemon with a model loaded holds no more
// than the sum of its terms, and the terms that are filled at loading are really there.

import LinuxSystem
import Testing

@Suite struct LedgerMemoryTests {
    /// What is touched when a model has answered: all of it, not more or less by chance.
    private static let filled: Set = [
        "vocabulary", "vectors", "dense weights", "dense ring", "expert slots"
    ]

    @Test(arguments: ["32M", "48M", "96M"])
    func theKernelSeesWhatIsReserved(memory: String) throws {
        let daemon = try ServedModel(memory: memory)
        #expect(try daemon.complete().contains("200 OK"))
        let shown = try daemon.show("shell", ["--service", "--memory", memory])
        let terms = Self.terms(shown)
        let sum = try #require(terms["sum"], "\(shown)")
        let (resident, peak) = (try daemon.memory("VmRSS"), try daemon.memory("VmHWM"))
        print(
            "\(memory): \(sum >> 10) KiB divided, \(resident >> 10) KiB resident, "
                + "\(peak >> 10) KiB at most")
        #expect(resident <= sum && peak <= sum)
        let least = terms.filter { Self.filled.contains($0.key) }.values.reduce(0, +)
        // A tenth of a mebibyte for each term, which are rounded up.
        #expect(least > 0 && resident >= least - Self.filled.count * 105_000, "\(shown)")
        #expect(daemon.stop() == 0)
    }

    /// Bytes of each line `name    12.3 MiB`.
    private static func terms(_ shown: String) -> [String: Int] {
        var terms: [String: Int] = [:]
        for line in shown.split(separator: "\n") where line.hasSuffix(" MiB") {
            let number = line.dropLast(4).split(separator: " ").last ?? ""
            guard let mebibytes = Double(number) else { continue }
            let name = line.dropLast(number.count + 4)
            terms[String(trimmed(name))] = Int(mebibytes * 1_048_576)
        }
        return terms
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }
}
