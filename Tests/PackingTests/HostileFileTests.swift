// Packed files that are damaged, or made to look whole and lie: always a FormatError on one line,
// never a trap, and never an answer from bytes that are not those that were written.

import ModelFormat
import Packing
import TestSupport
import Testing

@Suite struct HostileFileTests {
    private static let seed: UInt64 = 20_261

    private static func tiny() -> TinyModel {
        TinyModel(architecture: "qwen3moe", format: .q8_0, layers: 1, experts: 2)
    }

    /// Opens and verifies `bytes`.
    private func read(_ bytes: [UInt8]) throws(FormatError) {
        let source = ByteArraySource(name: "tiny.sluice", bytes: bytes)
        let model = try PackedModel(source: source)
        try PackedVerifier.verify(model, source: source)
    }

    private func isOneLine(_ error: FormatError) -> Bool {
        let text = error.description
        return text.utf8.count < 1000 && !text.contains(where: \.isNewline)
            && !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }

    /// Whether reading fails; any failure must be a proper one.
    private func refuses(_ bytes: [UInt8], _ name: String) -> Bool {
        do throws(FormatError) {
            try read(bytes)
            return false
        } catch {
            #expect(isOneLine(error), "\(name): \(error)")
            return true
        }
    }

    @Test func theWholeFileIsAccepted() throws {
        try read(PackedBytes(Self.tiny()).bytes)
    }

    /// Keys whose value follows from the rest of the file: any other number is refused.
    private static let determinedKeys: Set<String> = [
        "formatVersion", "rows", "columns", "byteCount", "byteOffset", "bundleBytes", "stride",
        "count", "layer", "layerCount", "headCount", "keyValueHeadCount", "keyHeadWidth",
        "valueHeadWidth", "width", "vocabularySize", "role", "format", "offset",
        "checksum", "checksums"
    ]

    @Test func everyNumberOfTheManifestReplacedByHostileOnes() throws {
        let packed = try PackedBytes(Self.tiny())
        let manifest = packed.manifest
        let sourceBytes = String(Self.tiny().gguf().count)
        let values = [
            "-1", "0", "1", "17", "4095", "4096", "2147483648", "9223372036854775807",
            "9223372036854775808", "-9223372036854775808", "18446744073709551615",
            "18446744073709551616", "1e999", "-1e999", "1e30", "0.5", "null", "true", "[]", "{}",
            "\"\"", "\"zz\"", "\"\\u0000\"", "[[[[[[[[[[[[[[[[[[[[", ""
        ]
        var count = 0
        for field in JSONFields.find(manifest) {
            for value in values {
                let old = String(decoding: manifest[field.range], as: UTF8.self)
                guard value != old else { continue }
                var json = manifest
                json.replaceSubrange(field.range, with: value.utf8)
                let name = "\(field.name) = \(value) for \(old)"
                let refused = refuses(packed.replacingManifest(json).bytes, name)
                count += 1
                // The source is not there to compare its size with.
                let isSource = field.name == "byteCount" && old == sourceBytes
                if Self.determinedKeys.contains(field.name), !isSource {
                    #expect(refused, "\(name)")
                }
            }
        }
        #expect(count > 2000)
    }

    @Test(arguments: [true, false])
    func randomManifests(fixed: Bool) throws {
        print("seed \(Self.seed)")
        let packed = try PackedBytes(Self.tiny())
        let manifest = packed.manifest
        let mutations = FileMutator.mutations(
            of: manifest, fields: JSONFields.find(manifest), seed: Self.seed, count: 400)
        for mutation in mutations where mutation.bytes != manifest {
            if fixed {
                _ = refuses(packed.replacingManifest(mutation.bytes).bytes, mutation.name)
            } else {
                let start = packed.bytes.count - manifest.count
                let bytes = Array(packed.bytes[..<start]) + mutation.bytes
                #expect(refuses(bytes, mutation.name), "\(mutation.name)")
            }
        }
    }

    @Test func recordsLeftOutDoubledAndExchanged() throws {
        let packed = try PackedBytes(Self.tiny())
        let model = try PackedModel(source: packed.source)
        func check(_ name: String, _ change: (inout PackedManifest) -> Void) throws {
            var manifest = model.manifest
            change(&manifest)
            let json = try manifest.encodedJSON(file: "tiny.sluice")
            #expect(refuses(packed.replacingManifest(json).bytes, name), "\(name)")
        }
        for index in model.manifest.matrices.indices {
            try check("no matrix \(index)") { $0.matrices.remove(at: index) }
            try check("matrix \(index) twice") { $0.matrices.append($0.matrices[index]) }
            try check("another extent size of matrix \(index)") {
                $0.matrices[index].rowsPerExtent += 1
            }
            try check("a checksum more of matrix \(index)") {
                $0.matrices[index].checksums.values.append(0)
            }
            try check("matrix \(index) in the header") { $0.matrices[index].offset = 0 }
            try check("matrix \(index) at the manifest") {
                $0.matrices[index].offset = UInt64(packed.bytes.count) / 4096 * 4096
            }
            try check("matrix \(index) at the end of numbers") {
                $0.matrices[index].offset = UInt64.max / 4096 * 4096
            }
        }
        for index in model.manifest.vectors.entries.indices {
            try check("no vector \(index)") { $0.vectors.entries.remove(at: index) }
            try check("vector \(index) twice") {
                $0.vectors.entries.append($0.vectors.entries[index])
            }
        }
        try check("matrices exchanged") { $0.matrices.swapAt(1, 2) }
        try check("no experts") { $0.experts = [] }
        try check("experts twice") { $0.experts.append($0.experts[0]) }
        try check("dense with experts") { $0.shape.changeLayers { $0.feedForward = .none } }
        try check("parts exchanged") {
            let up = $0.experts[0].up
            $0.experts[0].up = $0.experts[0].down
            $0.experts[0].down = up
        }
        try check("experts without a gate") { $0.experts[0].gate = nil }
        try check("experts with a gate that are to have none") {
            $0.shape.changeLayers { $0.feedForward.mixture?.isPlain = true }
        }
        try check("more used experts than there are") {
            $0.shape.changeLayers { $0.feedForward.mixture?.usedCount = 3 }
        }
        try check("no head") { $0.shape.changeAttention { $1.headCount = 0 } }
        try check("a shared expert from nowhere") {
            $0.shape.changeLayers {
                $0.feedForward.mixture?.shared = .init(width: 256, hasGate: false)
            }
        }
        try check("huge heads") { $0.shape.changeAttention { $1.keyHeadWidth = .max } }
        try check("huge expert count") {
            $0.shape.changeLayers { $0.feedForward.mixture?.count = .max }
            $0.experts[0].count = .max
        }
        try check("an endless name") { $0.modelName = String(repeating: "x", count: 5000) }
        try check("a name of two lines") { $0.modelName = "a\nb" }
        try check("endless conversions") {
            $0.conversions = [String](repeating: "", count: 1000)
        }
    }

    @Test func mixturesOfSomeLayers() throws {
        let packed = try PackedBytes(
            TinyModel(architecture: "dots1", layers: 3, lead: 1, experts: 8))
        let model = try PackedModel(source: packed.source)
        func isRefused(
            _ name: String, _ change: (inout PackedManifest) -> Void
        ) throws -> Bool {
            var manifest = model.manifest
            change(&manifest)
            let json = try manifest.encodedJSON(file: "tiny.sluice")
            return refuses(packed.replacingManifest(json).bytes, name)
        }
        for (count, used) in [
            (0, 1), (1, 1), (3, 1), (8, 1), (-2, 1), (.max, 1), (4, 0), (4, 5), (4, -1), (4, .max)
        ] {
            let name = "\(used) of \(count) groups"
            let refused = try isRefused(name) {
                $0.shape.changeLayers {
                    $0.feedForward.mixture?.groupCount = count
                    $0.feedForward.mixture?.groupUsedCount = used
                }
            }
            #expect(refused, "\(name)")
        }
        #expect(try isRefused("a dense layer's") { $0.experts[0].layer = 0 })
        #expect(try isRefused("exchanged") { $0.experts.swapAt(0, 1) })
        #expect(try isRefused("one layer less") { $0.experts.removeLast() })
        let other = try isRefused("another layer leads") {
            ($0.shape.layers[0], $0.shape.layers[1]) = ($0.shape.layers[1], $0.shape.layers[0])
        }
        #expect(other)
        #expect(
            try isRefused("a bias from nowhere") {
                $0.shape.layers[1].feedForward.mixture?.hasSelectionBias = true
            })
    }

    @Test func headerFields() throws {
        print("seed \(Self.seed)")
        let packed = try PackedBytes(Self.tiny())
        let fields = [
            ("magic", 0, 8), ("version", 8, 4), ("flags", 12, 4), ("manifest offset", 16, 8),
            ("manifest bytes", 24, 8), ("manifest checksum", 32, 4), ("file bytes", 40, 8)
        ].map { FileField(name: $0.0, offset: $0.1, byteCount: $0.2) }
        let mutations = FileMutator.mutations(
            of: packed.bytes, fields: fields, within: 0..<48, seed: Self.seed, count: 200)
        for mutation in mutations where mutation.bytes != packed.bytes {
            #expect(refuses(mutation.bytes, mutation.name), "\(mutation.name)")
            guard mutation.bytes.count == packed.bytes.count else { continue }
            var fixed = packed
            fixed.bytes = mutation.bytes
            fixed.fixHeader()
            // Bytes 36 to 39 are reserved: readers ignore them.
            let same = (0..<48).allSatisfy {
                (36..<40).contains($0) || fixed.bytes[$0] == packed.bytes[$0]
            }
            #expect(refuses(fixed.bytes, mutation.name) == !same, "\(mutation.name)")
        }
    }

    /// Files of version 2 have embeddings by themselves, and are read; header and manifest agree.
    @Test func theVersionBeforeIsRead() throws {
        let packed = try PackedBytes(Self.tiny())
        let text = String(decoding: packed.manifest, as: UTF8.self)
        let older = text.replacing("\"formatVersion\":3", with: "\"formatVersion\":2")
        #expect(older != text)
        try read(packed.replacingManifest(Array(older.utf8), version: 2).bytes)
        #expect(refuses(packed.replacingManifest(Array(older.utf8)).bytes, "header 3"))
        #expect(refuses(packed.replacingManifest(packed.manifest, version: 2).bytes, "header 2"))
    }

    /// Rows that are said to be the output's lie where it is.
    @Test func tiedEmbeddingsAreTheOutput() throws {
        var tiny = Self.tiny()
        tiny.tied = true
        let packed = try PackedBytes(tiny)
        let text = String(decoding: packed.manifest, as: UTF8.self)
        try read(packed.bytes)
        // The embeddings come before matrices.
        let wrong = text.replacing(
            "\"rowsPerExtent\":48", with: "\"rowsPerExtent\":16", maxReplacements: 1)
        #expect(wrong != text)
        #expect(refuses(packed.replacingManifest(Array(wrong.utf8)).bytes, "others"))
    }

    @Test func filesCutShortOrGrown() throws {
        let bytes = try PackedBytes(Self.tiny()).bytes
        for length in [0, 1, 8, 47, 4095, 4096, 4097, 8192, bytes.count / 2, bytes.count - 1] {
            #expect(refuses(Array(bytes.prefix(length)), "cut to \(length)"), "cut to \(length)")
        }
        #expect(refuses(bytes + [0], "grown"))
        #expect(refuses(Array("GGUF".utf8) + bytes.dropFirst(4), "another magic"))
    }

    @Test func aBitInEveryExtent() throws {
        let packed = try PackedBytes(Self.tiny())
        let model = try PackedModel(source: packed.source)
        let manifest = model.manifest
        var extents = [manifest.vocabulary, manifest.vectors.extent]
        extents.append(manifest.embeddings.pageChecksums)
        extents += (0..<manifest.embeddings.pageCount).map {
            PackedExtent(
                offset: manifest.embeddings.offset + UInt64($0 * 4096), byteCount: 4096,
                checksum: 0)
        }
        for matrix in manifest.matrices {
            extents += (0..<matrix.extentCount).map { matrix.extent($0).extent }
        }
        for layer in manifest.experts { extents += (0..<layer.count).map(layer.extent) }
        var random = SplitMix(seed: Self.seed)
        for extent in extents {
            let place = Int(extent.offset) + Int.random(in: 0..<extent.byteCount, using: &random)
            var bytes = packed.bytes
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(refuses(bytes, "byte \(place)"), "byte \(place)")
            do {
                try read(bytes)
            } catch  where extent != manifest.vocabulary {
                #expect(error.offset == extent.offset, "\(error)")
            } catch {}
        }
    }
}
