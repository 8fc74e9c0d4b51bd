// The source tree's own rules, applied to every file of the repository.

import Testing

private func report(_ findings: [Finding]) -> Comment {
    Comment(rawValue: findings.map(\.description).joined(separator: "\n"))
}

@Suite struct TidyTests {
    @Test func theTreeIsFound() {
        let paths = Set(SourceTree.files.map(\.path))
        #expect(paths.contains("Package.swift"))
        #expect(paths.contains("Tests/TidyTests/TidyTests.swift"))
        #expect(!paths.contains { $0.hasPrefix(".build") || $0.hasPrefix(".git/") })
    }

    @Test(arguments: Rules.all.indices)
    func everyFileKeepsTheRule(index: Int) {
        let findings = SourceTree.files.flatMap(Rules.all[index].check)
        #expect(findings.count == 0, report(findings))
    }

    /// Each room says what it is for, and what may not enter.
    @Test func everyRoomIntroducesItself() {
        let rooms = Set(
            SourceTree.files.filter { $0.isSwift && $0.path.hasPrefix("Sources/") }
                .compactMap { $0.path.split(separator: "/").dropFirst().first.map(String.init) })
        #expect(rooms.count > 20)
        for room in rooms.sorted() {
            let about = SourceTree.files.first { $0.path == "Sources/\(room)/About.swift" }
            let lines = about?.lines.filter { $0.hasPrefix("//") } ?? []
            #expect(lines.count == 3, "Sources/\(room)/About.swift: three lines about the room")
        }
    }

    @Test func importsAreDeclaredAndGoDownwards() throws {
        let manifest = try #require(SourceTree.files.first { $0.path == "Package.swift" })
        let declared = ImportRules.declaredDependencies(in: manifest)
        let findings =
            ImportRules.upward(declared)
            + SourceTree.files.flatMap { ImportRules.undeclared($0, declared) }
        #expect(findings.count == 0, report(findings))
    }
}
