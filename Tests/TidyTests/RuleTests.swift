// Each rule finds what it is for, and only that: a rule that cannot fail protects nothing.

import Testing

private func swift(_ text: String, path: String = "Sources/Target/File.swift") -> SourceFile {
    SourceFile(path: path, text: text)
}

private func body(lines: Int) -> String {
    (0..<lines).map { "    let value\($0) = \($0)\n" }.joined()
}

@Suite struct RuleTests {
    @Test func longLines() {
        let fits = String(repeating: "é", count: 100)
        #expect(Rules.lineLength(swift("// a\n" + fits)).isEmpty)
        #expect(Rules.lineLength(swift("// a\n" + fits + "x")).map(\.line) == [2])
        #expect(Rules.lineLength(SourceFile(path: "docs/a.md", text: fits + "x")).isEmpty)
        #expect(Rules.lineLength(SourceFile(path: "scripts/a.py", text: fits + "x")).count == 1)
    }

    @Test func longFunctions() {
        #expect(Rules.functionLength(swift("func f() {\n\(body(lines: 68))}\n")).isEmpty)
        for opening in [
            "func f()", "init()", "deinit", "subscript(_ i: Int) -> Int", "func <(a: A)"
        ] {
            let file = swift("\n\(opening) {\n\(body(lines: 69))}\n")
            #expect(Rules.functionLength(file).map(\.line) == [2], "\(opening)")
        }
        let c = "int f(int a)\n{\n\(body(lines: 68))}\n"
        #expect(Rules.functionLength(SourceFile(path: "a.c", text: c)).count == 1)
        #expect(Rules.functionLength(SourceFile(path: "a.c", text: "\n" + c)).map(\.line) == [2])
    }

    @Test func functionExtents() {
        let text = """
            protocol P { func bare() -> Int; var x: Int { get } }
            func long(
                _ f: () -> Void = { print("}") }
            ) -> [Int] {
                let s = "{ \\(g(")")) }" // {
                let t = #"{ \\ "# + \"""
                    { }}}
                    \"""
                X.init(a) { }
                /* { /* { */ */
                func inner() { }
            }
            """
        let found = FunctionExtent.functions(in: swift(text))
        #expect(
            found == [
                FunctionExtent(name: "long", firstLine: 2, lastLine: 12),
                FunctionExtent(name: "inner", firstLine: 11, lastLine: 11)
            ])
        let c = """
            #define BLOCK(x) { \\
                { x
            extern "C" {
            struct S { int a; };
            static const int table[2] = { 1, 2 };
            __attribute__((target("avx2")))
            static int f(int a) {
                if (a == '{') { return '}'; }
                return 0;
            }
            void declared(void);
            int g(void) { return 1; }
            }
            """
        #expect(
            FunctionExtent.functions(in: SourceFile(path: "a.c", text: c)).map(\.firstLine) == [
                6, 12
            ])
    }

    @Test func longFiles() {
        #expect(Rules.fileLength(swift(String(repeating: "\n", count: 500))).isEmpty)
        #expect(Rules.fileLength(swift(String(repeating: "\n", count: 501))).count == 1)
    }

    @Test func machinePaths() {
        for word in ["/ro" + "ot/x", "/ho" + "me/me", "/wo" + "rk/a", "https://py" + "pi.org/x"] {
            let file = SourceFile(path: "docs/a.md", text: "fine\nsee \(word)")
            #expect(Rules.machinePaths(file).map(\.line) == [2], "\(word)")
        }
        #expect(Rules.machinePaths(swift("// artwork/ and homework/x and /rooted/")).isEmpty)
    }

    @Test func foundation() {
        #expect(Rules.foundation(swift("import Found" + "ation\n")).map(\.line) == [1])
        #expect(Rules.foundation(swift("\npackage import struct Foundation.Data")).count == 1)
        #expect(Rules.foundation(swift("import FoundationNetworking")).count == 1)
        let essentials = "import FoundationEssentials\n// import Foundation"
        #expect(Rules.foundation(swift(essentials)).count == 1)
        #expect(Rules.foundation(swift(essentials, path: "Tests/A/B.swift")).isEmpty)
    }

    @Test func markers() {
        for word in ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"] {
            #expect(Rules.markers(swift("// \(word): later")).count == 1)
            #expect(Rules.markers(SourceFile(path: "a.md", text: "(\(word))")).count == 1)
            #expect(Rules.markers(swift("// pre\(word)ish")).isEmpty)
        }
    }

    @Test(arguments: [
        "fatalError()", "try! f()", "x as! Int", "x!", "f()!.y", "a[0]!", "var x: Int!"
    ])
    func crashes(sample: String) {
        #expect(Rules.crashes(swift("let a = 1\n\(sample)")).map(\.line) == [2])
        #expect(Rules.crashes(swift("\(sample) \(Rules.crashAllowance) known")).isEmpty)
        #expect(Rules.crashes(swift("    \(Rules.crashAllowance) known\n\(sample)")).isEmpty)
        #expect(Rules.crashes(swift("// \(sample)\nlet s = \"\(sample)\"")).isEmpty)
        #expect(Rules.crashes(swift(sample, path: "Tests/A/B.swift")).isEmpty)
    }

    @Test(arguments: ["!x", "a != b", "a!=b", "if !f() {", "x && !y", "[!a]"])
    func negationsAreNotCrashes(sample: String) {
        #expect(Rules.crashes(swift(sample)).isEmpty)
    }

    @Test func openingComments() {
        #expect(Rules.openingComment(swift("import A\n\nstruct S {}")).count == 1)
        #expect(Rules.openingComment(swift("struct S {}")).count == 1)
        #expect(Rules.openingComment(swift("// What it is.\nstruct S {}")).isEmpty)
        #expect(Rules.openingComment(swift("package import A\n\n/// What.\nstruct S {}")).isEmpty)
        let includes = "#pragma once\n#include <a.h>\n\n"
        #expect(Rules.openingComment(SourceFile(path: "a.h", text: includes + "// Why.")).isEmpty)
        #expect(Rules.openingComment(SourceFile(path: "a.h", text: includes + "int a;")).count == 1)
    }
}

@Suite struct ImportRuleTests {
    private let manifest = SourceFile(
        path: "Package.swift",
        text: """
            let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
            func layer(_ name: String, _ dependencies: [Target.Dependency]) -> Target { }
            func tests(_ name: String) -> Target { name + "Tests" + ["TestSupport"] }
            layer("LinuxSystem", ["CLinux"]),
            layer(
                "HTTPInterface",
                ["GenerationAPI", nioCore]),
            .executableTarget(
                name: "sluice", dependencies: ["Client"]),
            """)

    @Test func theManifestIsUnderstood() {
        #expect(
            ImportRules.declaredDependencies(in: manifest) == [
                "LinuxSystem": ["CLinux"], "HTTPInterface": ["GenerationAPI", "NIOCore"],
                "sluice": ["Client"]
            ])
    }

    @Test func importsAreRead() {
        let file = swift(
            "import A\npackage import B\n@preconcurrency import C\nimport struct D.E\n")
        #expect(ImportRules.imports(of: file).map(\.module) == ["A", "B", "C", "D"])
        #expect(ImportRules.imports(of: swift("// import A\nlet importance = 1")).isEmpty)
    }

    @Test func importsThatAreNotDeclaredOrReserved() {
        let declared = ImportRules.declaredDependencies(in: manifest)
        func count(_ target: String, _ module: String) -> Int {
            let file = swift("import \(module)", path: "Sources/\(target)/A.swift")
            return ImportRules.undeclared(file, declared).count
        }
        #expect(count("HTTPInterface", "GenerationAPI") == 0)
        #expect(count("HTTPInterface", "NIOCore") == 0)
        #expect(count("HTTPInterface", "FoundationEssentials") == 0)
        #expect(count("LinuxSystem", "Glibc") == 0)
        #expect(count("HTTPInterface", "Compute") == 1)
        #expect(count("HTTPInterface", "Glibc") == 1)
        #expect(count("HTTPInterface", "CLinux") == 1)
        #expect(count("LinuxSystem", "CKernels") == 1)
        #expect(count("Unknown", "LinuxSystem") == 1)
    }

    @Test func dependenciesThatGoUpOrSideways() {
        #expect(ImportRules.upward(["Inference": ["Compute", "CKernels", "NIOCore"]]).isEmpty)
        #expect(ImportRules.upward(["Compute": ["Inference"]]).count == 1)
        #expect(ImportRules.upward(["Compute": ["Weights"]]).count == 1)
        #expect(ImportRules.upward(["Unheard": []]).count == 1)
    }
}
