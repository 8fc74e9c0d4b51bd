// A packed model's directory without a file: as many layers, extents, experts and neurons as a test
// of plans wants.

import Knobs
import ModelFormat
import TestSupport
import Weights

/// Matrices of 32-bit floats in extents of 16 rows; a layer's last is its first projection.
struct InventedModel {
    /// Rows of each layer's matrices.
    var layers: [[Int]]
    var columns: Int
    var outputRows = 16
    /// Experts of each layer, how many of them a token uses, and their width.
    var experts: (count: Int, used: Int, width: Int)?
    /// Neurons of each layer.
    var neuronCount: Int?
    var isReordered = false

    static func random(_ random: inout SplitMix) -> InventedModel {
        let layers = (0..<Int.random(in: 1...6, using: &random)).map { _ in
            (0..<Int.random(in: 1...3, using: &random)).map { _ in
                16 * Int.random(in: 1...6, using: &random)
            }
        }
        var model = InventedModel(
            layers: layers, columns: Int.random(in: 1...4, using: &random) * 32)
        model.outputRows = 16 * Int.random(in: 1...4, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            let count = Int.random(in: 1...6, using: &random)
            model.experts = (
                count, Int.random(in: 1...count, using: &random),
                16 * Int.random(in: 1...3, using: &random)
            )
        case 1:
            model.neuronCount = 32 * Int.random(in: 1...8, using: &random)
            model.isReordered = Bool.random(using: &random)
        default: break
        }
        return model
    }

    /// How to fetch neurons one by one, where there are any; nil, too, streams them whole.
    func sparseOptions(_ random: inout SplitMix) -> SparseOptions? {
        guard neuronCount != nil, Bool.random(using: &random) else { return nil }
        var options = SparseOptions(mode: Bool.random(using: &random) ? .exact : .predicted)
        options.keepsWindows = Int.random(in: 0..<4, using: &random) > 0
        if Bool.random(using: &random) {
            options.shares = layers.map { _ in Float.random(in: 0...2, using: &random) }
        }
        return options
    }

    var manifest: PackedManifest {
        let none = PackedExtent(offset: 0, byteCount: 0, checksum: 0)
        let matrices =
            layers.enumerated().flatMap { layer, rows in
                rows.enumerated().map { index, rowCount in
                    let isLast = index == rows.count - 1
                    return matrix(
                        isLast ? .feedForwardUp : .attentionOutput, rowCount, layer: layer)
                }
            } + [matrix(.output, outputRows, layer: nil)]
        return PackedManifest(
            modelName: "invented", source: PackedSource(fileName: "", byteCount: 0, digest: ""),
            shape: shape, vocabulary: none,
            embeddings: PackedRows(
                format: .f32, rows: 10, columns: columns, offset: 0, pageChecksums: none),
            vectors: PackedVectors(extent: none, entries: []), matrices: matrices,
            experts: expertLayers, neurons: neuronLayers)
    }

    private var shape: ModelShape {
        let dense = DenseShape(width: neuronCount ?? 16, activation: .silu, isGated: true)
        let mixture = experts.map {
            MixtureShape(
                count: $0.count, usedCount: $0.used, width: $0.width, activation: .silu,
                gating: .softmax, normalizesWeights: true)
        }
        return .alike(
            layerCount: layers.count, width: columns,
            attention: .rotating(heads: 1, keyValueHeads: 1, width: 16),
            feedForward: mixture.map { FeedForwardShape($0) } ?? FeedForwardShape(dense))
    }

    private func matrix(_ role: MatrixRole, _ rows: Int, layer: Int?) -> PackedMatrix {
        PackedMatrix(
            role: role, layer: layer, format: .f32, rows: rows, columns: columns,
            rowsPerExtent: 16, offset: 0,
            checksums: PackedChecksums(Array(repeating: 0, count: rows / 16)))
    }

    private var expertLayers: [PackedExpertLayer] {
        guard let experts else { return [] }
        let bytes = WeightFormat.f32.tiledBytes(rows: experts.width, columns: columns)
        func part(_ index: Int) -> PackedBundlePart {
            PackedBundlePart(
                format: .f32, rows: experts.width, columns: columns, byteOffset: index * bytes)
        }
        return layers.indices.map { layer in
            PackedExpertLayer(
                layer: layer, count: experts.count, gate: part(0), up: part(1), down: part(2),
                bundleBytes: 3 * bytes, stride: PackedLayout.aligned(3 * bytes), offset: 0,
                checksums: PackedChecksums(Array(repeating: 0, count: experts.count)))
        }
    }

    private var neuronLayers: [PackedNeuronLayer]? {
        guard let neuronCount else { return nil }
        let none = PackedExtent(offset: 0, byteCount: 0, checksum: 0)
        return layers.indices.map { layer in
            PackedNeuronLayer(
                layer: layer, count: neuronCount, width: columns, gate: nil, up: .f32, down: .f32,
                scales: nil, neuronsPerBundle: 2, offset: 0, isReordered: isReordered,
                checksums: none, places: none)
        }
    }
}
