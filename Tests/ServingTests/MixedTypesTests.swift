// Files whose tensors have types of their own, layer by layer, as llama.cpp's Q4_K_M has them: the
// kernels of each come together in one pass, and streaming changes nothing.

import Glibc
import LinuxSystem
import ModelFormat
import Models
import Packing
import TestSupport
import Testing

@Suite struct MixedTypesTests {
    private static let width = 256

    /// Where a tensor's bytes are from.
    private enum Origin {
        /// A committed file, by its type.
        case file(String)
        case made(WeightFormat)
    }

    /// Layer by layer, what is not Q4_K: more bits for values and for what leaves the network in
    /// some layers, one tensor of 8 bits, one of 16.
    private static let layers: [[String: Origin]] = [
        ["attn_v": .file("q6_k"), "ffn_down": .file("q6_k")],
        ["attn_q": .made(.q8_0), "ffn_gate": .file("q5_k")],
        ["attn_v": .file("q6_k"), "attn_output": .made(.f16), "ffn_up": .file("q5_k")],
        ["ffn_down": .file("q6_k"), "attn_k": .file("q5_k")]
    ]

    private struct Source {
        let bytes: ByteArraySource
        let file: GGUFFile

        init(_ type: String) throws {
            let name = "llama-\(type).gguf"
            bytes = ByteArraySource(
                name: name, bytes: try #require(fileBytes(Fixtures.folder + "models/\(name)")))
            file = try GGUFFile(parts: [bytes])
        }
    }

    /// Blocks of 32 with scales below 2^-6, or halves below 2^-3.
    private static func made(_ type: WeightFormat, _ count: Int) -> [UInt8] {
        var random = SplitMix(seed: UInt64(count))
        var bytes: [UInt8] = []
        for _ in 0..<count / 32 {
            let small = [UInt8(truncatingIfNeeded: random.next()), 0x10]
            if type == .q8_0 {
                bytes += small
                for _ in 0..<32 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
            } else {
                for _ in 0..<32 {
                    let bits = random.next()
                    let sign = UInt8(truncatingIfNeeded: bits >> 8) & 0x80
                    bytes += [UInt8(truncatingIfNeeded: bits), 0x28 | sign]
                }
            }
        }
        return bytes
    }

    private static func mixed() throws -> [UInt8] {
        var sources: [String: Source] = [:]
        for type in ["q4_k", "q5_k", "q6_k"] { sources[type] = try Source(type) }
        let base = try #require(sources["q4_k"])
        var builder = GGUFBuilder()
        for entry in base.file.metadata.entries where entry.key != "llama.block_count" {
            let count = Int(entry.payload.upperBound - entry.payload.lowerBound)
            var bytes = try base.bytes.packedBytes(at: entry.payload.lowerBound, count: count)
            if entry.type == .string { bytes = GGUFBuilder.number(UInt64(count)) + bytes }
            if let type = entry.elementType {
                bytes = GGUFBuilder.number(type.rawValue) + GGUFBuilder.number(entry.count) + bytes
            }
            builder.add(entry.key, type: entry.type.rawValue, bytes: bytes)
        }
        builder.add("llama.block_count", UInt32(layers.count))
        func put(_ name: String, _ dimensions: [Int], _ type: UInt32, _ bytes: [UInt8]) {
            builder.addTensor(
                name, dimensions.map(UInt64.init), type: type, offset: UInt64(builder.data.count))
            builder.data += bytes
            while builder.data.count % builder.alignment != 0 { builder.data.append(0) }
        }
        func put(_ name: String, as newName: String, from source: Source) throws {
            let tensor = try #require(source.file.tensor(named: name))
            put(
                newName, tensor.dimensions, tensor.type.number,
                try source.bytes.packedBytes(at: tensor.offset, count: tensor.byteCount))
        }
        for tensor in base.file.tensors where !tensor.name.hasPrefix("blk.") {
            let type = tensor.name == "output.weight" ? "q6_k" : "q4_k"
            try put(tensor.name, as: tensor.name, from: try #require(sources[type]))
        }
        for (layer, origins) in layers.enumerated() {
            for tensor in base.file.tensors where tensor.name.hasPrefix("blk.0.") {
                let stem = String(tensor.name.dropFirst("blk.0.".count))
                let name = "blk.\(layer).\(stem)"
                switch origins[String(stem.prefix { $0 != "." })] {
                case .made(let type):
                    let count = tensor.dimensions.reduce(1, *)
                    put(name, tensor.dimensions, type.ggufType, made(type, count))
                case .file(let type):
                    try put(tensor.name, as: name, from: try #require(sources[type]))
                case nil: try put(tensor.name, as: name, from: base)
                }
            }
        }
        return builder.bytes()
    }

    @Test func streamedEqualsResident() throws {
        let file = "/tmp/sluice-mixed-\(getpid())-\(UInt64.random(in: 0..<(.max))).gguf"
        try FileSystem.replace(file, with: try Self.mixed(), permissions: 0o600)
        defer { try? FileSystem.remove(file) }
        try Fixtures.withPacked(file) { path in
            let source = try FileByteSource(path: path)
            let model = try PackedModel(source: source)
            let formats = Set(model.manifest.matrices.map(\.format))
            #expect(formats == [.q4_K, .q5_K, .q6_K, .q8_0, .f16])
            // Nothing is re-quantised, and each layer has types of its own.
            #expect((model.manifest.requantizations ?? []).isEmpty)
            try PackedVerifier.verify(model, source: source)
            try StreamingTests().compareBudgets(path: path, generate: 12)
        }
    }
}
