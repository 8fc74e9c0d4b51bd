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

    @Test func importsAreDeclaredAndGoDownwards() throws {
        let manifest = try #require(SourceTree.files.first { $0.path == "Package.swift" })
        let declared = ImportRules.declaredDependencies(in: manifest)
        let findings =
            ImportRules.upward(declared)
            + SourceTree.files.flatMap { ImportRules.undeclared($0, declared) }
        #expect(findings.count == 0, report(findings))
    }
}
