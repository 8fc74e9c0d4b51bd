// How strongly a model's neurons fire, layer by layer, and from it the magnitudes below which a
// neuron may count as silent: training-free sparsity after CATS (arXiv 2404.08763) and TEAL (arXiv
// 2408.14690). Measured by `sluice calibrate`, kept beside the model; docs/FORMAT.md, "Thresholds".

package import FlashStorage
package import ModelFormat

/// Quantiles of the magnitudes of activations of the first projection.
package struct FiringThresholds: Sendable, Equatable {
    /// Quantiles of a layer: the magnitudes that 1, 2 ... of so many parts of all are below.
    package static let count = 200

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

    /// The thresholds beside the packed file at `packed`; `digest` is of its model's source.
    package static func sidecar(
        besides packed: String, digest: String
    ) -> Sidecar<FiringThresholds> {
        Sidecar(path: path(of: packed), digest: digest)
    }
}

extension FiringThresholds: SidecarValue {
    package static let kind = SidecarKind(
        name: "thresh", contents: "thresholds of neurons", version: 1, formerMagic: "SLTHRESH",
        bytesMax: 1 << 20, remedy: "sluice calibrate makes it again")

    package func write(to writer: inout ByteWriter) {
        writer.add(UInt32(quantiles.count))
        for layer in quantiles { writer.add(layer) }
    }

    /// - Parameter layerCount: the model's.
    package init(
        _ reader: inout ByteReader, version: UInt32, for layerCount: Int
    ) throws(FormatError) {
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
        self.quantiles = quantiles
    }
}
