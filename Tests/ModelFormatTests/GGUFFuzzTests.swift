// Damaged files: each either reads as something consistent or is refused with one line. A trap
// would end the test run.

import LinuxSystem
import ModelFamilies
import ModelFormat
import TestSupport
import Testing

@Suite struct GGUFFuzzTests {
    private static let seed: UInt64 = 0x5EED_6755

    /// Everything that import asks of a file.
    ///
    /// - Returns: Whether the file was accepted to the end.
    private func use(_ mutation: FileMutator.Mutation) -> Bool {
        let source = ByteArraySource(name: "fuzz.gguf", bytes: mutation.bytes)
        do {
            let names = try GGUFFile.partNames(of: source)
            let file = try GGUFFile(parts: [source])
            #expect(names.isEmpty, "\(mutation.name)")
            #expect(file.modelName() == nil || file.metadata.entry("general.name") != nil)
            #expect(try file.metadata.summaries().count == file.metadata.entries.count)
            try check(file, mutation)
            let shape = try file.shape()
            for attention in shape.attentions {
                #expect(
                    attention.headCount % attention.keyValueHeadCount == 0, "\(mutation.name)")
                let rotated = attention.rope?.rotatedWidth ?? 0
                #expect(rotated <= attention.keyHeadWidth, "\(mutation.name)")
            }
            let vocabulary = try file.vocabulary()
            #expect(vocabulary.tokens.count == shape.vocabularySize, "\(mutation.name)")
            #expect(
                vocabulary.kinds.isEmpty || vocabulary.kinds.count == vocabulary.tokens.count,
                "\(mutation.name)")
            return true
        } catch let error as FormatError {
            #expect(isOneLine(error), "\(mutation.name): \(error)")
            return false
        } catch {
            Issue.record("\(mutation.name): \(error)")
            return false
        }
    }

    /// What an accepted file promises: tensors inside it, apart, and readable.
    private func check(_ file: GGUFFile, _ mutation: FileMutator.Mutation) throws {
        var end: UInt64 = 0
        for tensor in file.tensors.sorted(by: { $0.offset < $1.offset }) {
            #expect(tensor.offset >= end, "\(mutation.name)")
            end = tensor.offset + UInt64(tensor.byteCount)
            #expect(end <= UInt64(mutation.bytes.count), "\(mutation.name)")
            #expect(
                tensor.byteCount == tensor.rows * tensor.type.rowBytes(columns: tensor.columns),
                "\(mutation.name)")
            var last: [UInt8] = [0]
            var span = last.mutableSpan
            var raw = unsafe span.mutableBytes
            try file.read(tensor, at: tensor.byteCount - 1, into: &raw)
        }
    }

    @Test(arguments: ["tiny-v3.gguf", "tiny-experts.gguf", "vocabulary-spm.gguf"])
    func mutations(name: String) throws {
        let bytes = try GGUFTestFiles.source(name).bytes
        let fields = GGUFFields(of: bytes)
        print("GGUF fuzz of \(name): seed \(Self.seed)")
        let mutations = FileMutator.mutations(
            of: bytes, fields: fields.fields, within: 0..<fields.headerBytes, seed: Self.seed,
            count: 400)
        let accepted = mutations.filter { use($0) }.count
        // Not vacuous: most damage is noticed, and some is harmless (a bit in a token's text).
        #expect(accepted < 200)
        #expect(use(("undamaged", bytes)) == (name != "vocabulary-spm.gguf"))
    }

    /// What random numbers make of small files and of one of each family.
    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() throws {
        var files: [(bytes: [UInt8], fields: GGUFFields)] = []
        for name in ["tiny-v3", "tiny-experts", "vocabulary-spm"] {
            let bytes = try GGUFTestFiles.source(name + ".gguf").bytes
            files.append((bytes, GGUFFields(of: bytes)))
        }
        let families = GGUFTestFiles.root + "/Tests/Fixtures/models/"
        for name in try FileSystem.names(in: families).sorted() where name.hasSuffix(".gguf") {
            let bytes = try GGUFTestFiles.read(families + name)
            guard bytes.count < 400_000 else { continue }
            files.append((bytes, GGUFFields(of: bytes)))
        }
        var (accepted, refused) = (0, 0)
        FuzzRun("GGUF").each { random, place in
            let (bytes, fields) = files[Int.random(in: 0..<files.count, using: &random)]
            var mutation = FileMutator.mutation(
                of: bytes, fields: fields.fields, within: 0..<fields.headerBytes, &random)
            mutation.name = place + ": " + mutation.name
            if use(mutation) { accepted += 1 } else { refused += 1 }
        }
        #expect(accepted > 0 && refused > accepted / 4)
    }

    @Test func truncations() throws {
        let bytes = try GGUFTestFiles.source("tiny-v3.gguf").bytes
        let fields = GGUFFields(of: bytes)
        let cuts = FileMutator.truncations(of: bytes, fields: fields.fields)
        #expect(cuts.count > 200)
        for cut in cuts { #expect(!use(cut), "\(cut.name)") }
    }

    /// Splitting multiplies what can disagree.
    @Test func mutatedParts() throws {
        let parts = try (1...3).map {
            try GGUFTestFiles.source("tiny-split-0000\($0)-of-00003.gguf")
        }
        print("GGUF fuzz of parts: seed \(Self.seed)")
        var accepted = 0
        for damaged in parts.indices {
            let fields = GGUFFields(of: parts[damaged].bytes)
            let mutations = FileMutator.mutations(
                of: parts[damaged].bytes, fields: fields.fields, within: 0..<fields.headerBytes,
                seed: Self.seed &+ UInt64(damaged), count: 100)
            for mutation in mutations {
                var sources = parts
                sources[damaged] = ByteArraySource(
                    name: parts[damaged].name, bytes: mutation.bytes)
                do {
                    let file = try GGUFFile(parts: sources)
                    #expect(file.tensors.count == 11, "\(mutation.name)")
                    accepted += 1
                } catch { #expect(isOneLine(error), "\(mutation.name): \(error)") }
            }
        }
        #expect(accepted < 150)
    }

    @Test func mutationsAreRepeatable() throws {
        let bytes = try GGUFTestFiles.source("tiny-v3.gguf").bytes
        let one = FileMutator.mutations(of: bytes, seed: 7, count: 40)
        let two = FileMutator.mutations(of: bytes, seed: 7, count: 40)
        let other = FileMutator.mutations(of: bytes, seed: 8, count: 40)
        #expect(one.map(\.bytes) == two.map(\.bytes))
        #expect(one.map(\.name) == two.map(\.name))
        #expect(one.map(\.bytes) != other.map(\.bytes))
        #expect(one.filter { $0.bytes != bytes }.count > 30)
    }
}
