// Packed files whose manifests nobody wrote, with checksums that are right all the same, and models
// that nobody made, imported: each is refused with one line, or is what it says that it is.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import TestSupport
import Testing

/// Makes packed files out of others.
private struct PackedFuzzer {
    private let files: [(packed: PackedBytes, manifest: [UInt8], fields: [FileField])]
    private let models: [(bytes: [UInt8], fields: GGUFFields)]
    private let directory: TemporaryDirectory
    private(set) var refused = 0
    private(set) var opened = 0
    private(set) var imported = 0

    init() throws {
        let models = [
            TinyModel(), TinyModel(architecture: "qwen3moe", format: .q8_0, layers: 1, experts: 2),
            TinyModel(architecture: "gemma3", format: .q4_0),
            TinyModel(architecture: "lfm2", layers: 2),
            TinyModel(architecture: "dots1", layers: 2, lead: 1, experts: 4),
            TinyModel(tied: true).with(.q6_K)
        ]
        self.models = models.map { model in
            let bytes = model.gguf()
            return (bytes, GGUFFields(of: bytes))
        }
        directory = try TemporaryDirectory()
        files = try models.map { model in
            let packed = try PackedBytes(model)
            return (packed, packed.manifest, JSONFields.find(packed.manifest))
        }
    }

    private func isOneLine(_ text: String) -> Bool {
        text.utf8.count < 2000 && !text.contains(where: \.isNewline)
    }

    /// A manifest with something of it exchanged for something else of one.
    private func mixed(_ index: Int, _ random: inout SplitMix) -> [UInt8] {
        let (_, manifest, fields) = files[index]
        guard Int.random(in: 0..<3, using: &random) == 0 else {
            return FileMutator.mutation(of: manifest, fields: fields, &random).bytes
        }
        // A value of one record in another's place, or of another model's.
        let other = files[Int.random(in: 0..<files.count, using: &random)]
        var result = manifest
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let field = fields[Int.random(in: 0..<fields.count, using: &random)]
            let alike = other.fields.filter { $0.name == field.name }
            guard let value = alike.randomElement(using: &random),
                field.range.upperBound <= result.count
            else { continue }
            result.replaceSubrange(field.range, with: other.manifest[value.range])
        }
        return result
    }

    mutating func openMixed(_ random: inout SplitMix, _ place: String) {
        let index = Int.random(in: 0..<files.count, using: &random)
        let manifest = mixed(index, &random)
        let source = files[index].packed.replacingManifest(manifest).source
        do throws(FormatError) {
            let model = try PackedModel(source: source)
            opened += 1
            try look(at: model, source, place)
        } catch {
            refused += 1
            #expect(isOneLine(error.description), "\(place): \(error)")
        }
    }

    /// What loading asks of a file: records within it, a vocabulary that fits, all of its bytes.
    private func look(
        at model: PackedModel, _ source: ByteArraySource, _ place: String
    ) throws(FormatError) {
        let shape = model.manifest.shape
        #expect(shape.layers.count > 0 && shape.width > 0, "\(place)")
        for matrix in model.manifest.matrices {
            let end = matrix.offset + UInt64(matrix.spanBytes)
            #expect(end <= source.byteCount, "\(place)")
        }
        for layer in model.manifest.experts {
            for expert in [0, layer.count - 1] {
                let extent = layer.extent(expert)
                let end = extent.offset + UInt64(extent.byteCount)
                #expect(end <= source.byteCount, "\(place)")
            }
        }
        let vocabulary = try model.vocabulary(from: source)
        #expect(vocabulary.tokens.count == shape.vocabularySize, "\(place)")
        try PackedVerifier.verify(model, source: source)
    }

    /// A damaged model is refused, or packed into a file that is whole.
    mutating func importDamaged(_ random: inout SplitMix, _ place: String) {
        let model = models[Int.random(in: 0..<models.count, using: &random)]
        let bytes = FileMutator.mutation(
            of: model.bytes, fields: model.fields.fields, within: 0..<model.fields.headerBytes,
            &random
        ).bytes
        let part = ByteArraySource(name: "fuzz.gguf", bytes: bytes)
        do {
            let (packed, source) = try pack([part], in: directory, name: "fuzz.sluice")
            imported += 1
            try PackedVerifier.verify(packed, source: source)
        } catch {
            refused += 1
            #expect(isOneLine("\(error)"), "\(place): \(error)")
        }
        let left = (try? directory.names()) ?? []
        #expect(left.allSatisfy { $0 == "fuzz.sluice" }, "\(place): \(left)")
        for name in left { try? FileSystem.remove(directory.file(name)) }
    }
}

@Suite struct PackedFuzzTests {
    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() throws {
        var fuzzer = try PackedFuzzer()
        FuzzRun("manifests").each { random, place in
            if Int.random(in: 0..<8, using: &random) == 0 {
                fuzzer.importDamaged(&random, place)
            } else {
                fuzzer.openMixed(&random, place)
            }
        }
        #expect(fuzzer.refused > 0 && fuzzer.opened > 0 && fuzzer.imported > 0)
    }
}
