// The weights of dense networks beside mixtures.

internal import Compute
internal import ModelFormat

extension LayerGraph {
    static func beside(
        _ layer: Int, _ dense: DenseShape, _ weights: WeightLookup, _ shape: ModelShape
    ) throws(FormatError) -> Beside {
        func norm(_ role: VectorRole) throws(FormatError) -> Norm {
            try weights.norm(role, bias: nil, layer: layer, shape.norm)
        }
        // The router reads the root mean square over the root of the width, times its scale.
        let root = Float(shape.width).squareRoot()
        let scales = try weights.vector(.routerScale, layer: layer)
        return Beside(
            dense: try Self.dense(layer, dense, weights), denseNorm: try norm(.feedForwardNorm),
            afterDenseNorm: try norm(.afterDenseNorm),
            routerNorm: Norm(weights: scales.map { $0 / root }, epsilon: shape.norm.epsilon),
            expertsNorm: try norm(.expertsNorm), afterExpertsNorm: try norm(.afterExpertsNorm))
    }
}
