// Finds a graph's weights in the manifest by what they are for.

internal import Compute
internal import ModelFormat
internal import Weights

/// Finds weights by role, and says which one is missing.
struct WeightLookup {
    let store: WeightStore
    let fileName: String

    func optionalMatrix(_ role: MatrixRole, layer: Int?) -> Int? {
        store.manifest.matrices.firstIndex { $0.role == role && $0.layer == layer }
    }

    func matrix(_ role: MatrixRole, layer: Int?) throws(FormatError) -> Int {
        guard let index = optionalMatrix(role, layer: layer) else {
            throw missing(role.rawValue, layer)
        }
        return index
    }

    func vector(_ role: VectorRole, layer: Int?) throws(FormatError) -> [Float] {
        guard let vector = store.vector(role, layer: layer) else {
            throw missing(role.rawValue, layer)
        }
        return vector
    }

    func norm(
        _ role: VectorRole, bias: VectorRole?, layer: Int?, _ shape: NormShape
    ) throws(FormatError) -> Norm {
        let bias = shape.kind == .layer ? bias : nil
        return Norm(
            weights: try vector(role, layer: layer),
            bias: try bias.map { role throws(FormatError) in try vector(role, layer: layer) },
            epsilon: shape.epsilon)
    }

    func experts(layer: Int) -> PackedExpertLayer? {
        store.manifest.experts.first { $0.layer == layer }
    }

    private func missing(_ role: String, _ layer: Int?) -> FormatError {
        let place = layer.map { " in layer \($0)" } ?? ""
        return FormatError(file: fileName, expected: "weights \(role)\(place)", found: "none")
    }
}
