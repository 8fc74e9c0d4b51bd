// The weights of what layers make of embeddings of their own.

internal import Compute
internal import ModelFormat

extension LayerGraph {
    /// A layer's part in the embeddings that each has of its own (Gemma 4's E models).
    struct LayerEmbedding: Sendable {
        /// What makes all layers' of the model's own embedding, and its norm for each layer's; the
        /// first layer alone has it.
        let projection: (matrix: Int, norm: Norm)?
        let gate: Int
        let output: Int
        /// Of what the layer adds.
        let afterNorm: Norm

        init(
            _ layer: Int, _ weights: WeightLookup, _ shape: ModelShape
        ) throws(FormatError) {
            projection =
                layer == 0
                ? (
                    try weights.matrix(.layerEmbeddingProjection, layer: 0),
                    try weights.norm(
                        .layerEmbeddingProjectionNorm, bias: nil, layer: nil, shape.norm)
                ) : nil
            gate = try weights.matrix(.layerEmbeddingGate, layer: layer)
            output = try weights.matrix(.layerEmbeddingOutput, layer: layer)
            afterNorm = try weights.norm(
                .afterLayerEmbeddingNorm, bias: nil, layer: layer, shape.norm)
        }
    }
}
