// How strongly a model's neurons fire, layer by layer, and from it the magnitudes below which a
// neuron may count as silent: training-free sparsity after CATS (arXiv 2404.08763) and TEAL (arXiv
// 2408.14690). Measured by `sluice calibrate`, kept beside the model; docs/FORMAT.md, "Thresholds".

package import FlashStorage
package import LinuxSystem
package import ModelFormat

/// Quantiles of the magnitudes of activations of the first projection.
package struct FiringThresholds: Sendable, Equatable {
    /// Quantiles of a layer: the magnitudes that 1, 2 ... of so many parts of all are below.
    package static let count = 200

    private static let magic = Array("SLTHRESH".utf8)
    private static let version: UInt32 = 1
    private static let digestBytesMax: UInt32 = 256
    private static let fileBytesMax = 1 << 20

    /// `[layers][count]`, each layer's ascending.
    package let quantiles: [[Float]]

    package init(quantiles: [[Float]]) {
        precondition(quantiles.allSatisfy { $0.count == Self.count })
        self.quantiles = quantiles
    }

    /// Where a packed file's thresholds are kept: beside it.
    package static func path(of packed: String) -> String { packed + ".thresholds" }

    /// For each layer the magnitude that the share `sparsity` of its activations is below.
    ///
    /// - Parameter sparsity: between 0 and 1.
    package func magnitudes(sparsity: Float) -> [Float] {
        precondition(sparsity >= 0 && sparsity <= 1)
        let place = sparsity * Float(Self.count)
        let before = min(Int(place), Self.count - 1)
        return quantiles.map { layer in
            let low = before == 0 ? 0 : layer[before - 1]
            return low + (layer[before] - low) * (place - Float(before))
        }
    }

    package func encoded(digest: String) -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes += Self.magic
        writer.add(Self.version)
        writer.add(UInt32(digest.utf8.count))
        writer.bytes += Array(digest.utf8)
        writer.add(UInt32(quantiles.count))
        for layer in quantiles { writer.add(layer) }
        writer.addChecksum()
        return writer.bytes
    }

    /// Reads what ``encoded(digest:)`` wrote.
    ///
    /// - Parameters:
    ///   - digest: of the model's source.
    ///   - layerCount: the model's.
    /// - Throws: `FormatError` when it is damaged, of another version, or not this model's.
    package init(
        _ bytes: [UInt8], file: String, digest: String, layerCount: Int
    ) throws(FormatError) {
        var reader = ByteReader(bytes, file: file)
        try reader.checkSum()
        try reader.expect(Self.magic, "thresholds of neurons")
        let version = try reader.word()
        guard version == Self.version else {
            throw reader.error("version \(Self.version)", found: "\(version)")
        }
        let length = try reader.number(in: 0...Self.digestBytesMax, "bytes of a digest")
        let found = String(decoding: try reader.take(length), as: UTF8.self)
        guard found == digest else {
            throw reader.error(
                "the thresholds of model \(digest) (sluice calibrate makes them)",
                found: "those of \(found)")
        }
        let layers = try reader.word()
        guard layers == layerCount else {
            throw reader.error("\(layerCount) layers", found: "\(layers)")
        }
        var quantiles: [[Float]] = []
        for _ in 0..<layerCount {
            let values = try reader.floats(Self.count)
            guard values[0] >= 0, zip(values, values.dropFirst()).allSatisfy({ $0 <= $1 }) else {
                throw reader.error("ascending magnitudes", found: "others")
            }
            quantiles.append(values)
        }
        try reader.expectEnd()
        self.quantiles = quantiles
    }

    /// The thresholds beside the packed file at `packed`, or nil where there are none.
    ///
    /// - Parameters:
    ///   - digest: of the model's source, in its manifest.
    ///   - layerCount: the model's.
    /// - Throws: `FormatError` when what there is cannot be used, `SystemError` when it cannot be
    ///   read. The model runs without.
    package static func load(
        besides packed: String, digest: String, layerCount: Int
    ) throws(FlashError) -> FiringThresholds? {
        let path = path(of: packed)
        let bytes: [UInt8]?
        do throws(SystemError) {
            bytes = try SavedFile.bytes(of: path, countMax: fileBytesMax)
        } catch {
            throw .system(error)
        }
        guard let bytes else { return nil }
        do throws(FormatError) {
            return try FiringThresholds(bytes, file: path, digest: digest, layerCount: layerCount)
        } catch {
            throw .format(error)
        }
    }

    /// Saves them beside the packed file at `packed`, under a temporary name first.
    ///
    /// - Throws: `SystemError` where they cannot be written, such as a read-only directory.
    package func save(besides packed: String, digest: String) throws(SystemError) {
        try SavedFile.write(encoded(digest: digest), to: Self.path(of: packed))
    }
}
