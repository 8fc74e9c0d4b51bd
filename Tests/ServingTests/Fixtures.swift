// Committed models, packed on the way into a temporary folder, and the trained ones where they are.

import FoundationEssentials
import Glibc
import LinuxSystem
import Memory
import ModelFormat
import Models
import Packing
import TestSupport

enum Fixtures {
    /// The repository's Tests/Fixtures.
    static let folder = FileSystem.parent(of: FileSystem.parent(of: #filePath)) + "/Fixtures/"

    static func reference(_ name: String) throws -> Reference { try decode(name) }

    static func decode<Value: Decodable>(_ name: String) throws -> Value {
        try JSONDecoder().decode(
            Value.self, from: Data(contentsOf: URL(filePath: folder + name)))
    }

    /// Packs a committed GGUF file and opens it, with exact keys and values.
    static func model(
        _ name: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> ModelInstance {
        try withPacked(folder + name) { path in
            var options = ModelOptions()
            options.kvFormat = KVFormat(.float)
            configure(&options)
            return try ModelInstance(path: path, options: options)
        }
    }

    /// The smallest budget that is accepted, as the refusal of a smaller one says.
    static func leastBytes(
        _ path: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> Int {
        var options = ModelOptions()
        configure(&options)
        options.memoryBytesMax = 1
        do {
            _ = try ModelInstance.division(path: path, options: options)
        } catch LoadError.budget(let error) {
            return error.needed.sumBytes
        }
        throw SystemError("one byte was accepted as a budget", errorNumber: 0)
    }

    static func pack(
        _ source: String, to path: String, neurons: NeuronPacking? = nil
    ) throws {
        // Files cannot name a gate's activation.
        let activation: Activation? =
            FileSystem.name(of: source).hasPrefix("llama-relu") ? .relu : nil
        let packer = try Packer(
            parts: [try FileByteSource(path: source)], activation: activation, neurons: neurons)
        _ = try packer.write(to: path, overwrite: false, processID: getpid())
    }

    /// Packs `source` for the time of `body`.
    static func withPacked<Result>(
        _ source: String, neurons: NeuronPacking? = nil, _ body: (String) throws -> Result
    ) throws -> Result {
        let packed = "/tmp/sluice-test-\(getpid())-\(UInt64.random(in: 0..<(.max))).sluice"
        defer { _ = unsafe unlink(packed) }
        try pack(source, to: packed, neurons: neurons)
        return try body(packed)
    }
}

extension Fixtures {
    /// A trained model beside the repository, or nil where there is none.
    static func sharedModel(_ name: String) -> String? {
        let root = FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        let path = "\(root)/../shared/models/\(name)"
        return FileSystem.exists(path) ? path : nil
    }
}
