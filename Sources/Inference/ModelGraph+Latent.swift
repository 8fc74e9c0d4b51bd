// The weights of layers whose values are keys too.

internal import Compute
internal import ModelFormat

extension LayerGraph {
    /// What latent attention has beside attention over latents.
    struct Latent: Sendable {
        let shape: LatentMixer
        /// What queries are compressed by first, and its norm; nil where they are not.
        let compression: (matrix: Int, norm: Norm)?
        /// Parts of queries that meet latents, before they are taken there.
        let plainQuery: Int
        /// Of each head, what takes its query to latents.
        let keys: Int
        /// Of each head, what takes its sum of latents to its values.
        let values: Int
    }

    static func latent(
        _ layer: Int, _ mixer: LatentMixer, _ weights: WeightLookup, _ shape: ModelShape
    ) throws(FormatError) -> Attention {
        func norm(_ role: VectorRole) throws(FormatError) -> Norm {
            Norm(weights: try weights.vector(role, layer: layer), epsilon: shape.norm.epsilon)
        }
        var compression: (matrix: Int, norm: Norm)?
        if mixer.queryRank != nil {
            compression = (
                try weights.matrix(.queryCompression, layer: layer), try norm(.queryCompressionNorm)
            )
        }
        return Attention(
            shape: mixer.attention, query: try weights.matrix(.turnedQuery, layer: layer),
            key: try weights.matrix(.turnedKey, layer: layer),
            value: try weights.matrix(.latent, layer: layer),
            gate: mixer.gatesHeads == true
                ? try weights.matrix(.attentionGate, layer: layer) : nil,
            output: try weights.matrix(.attentionOutput, layer: layer),
            treatment: HeadTreatment(
                normEpsilon: shape.norm.epsilon, rotatedWidth: mixer.rope?.rotatedWidth ?? 0,
                pairing: mixer.rope?.pairing ?? .halves),
            outputBias: nil, scale: mixer.scale, sinks: nil,
            rope: mixer.rope.flatMap { shape.ropes.firstIndex(of: $0) },
            cacheLayers: shape.cacheLayers(of: layer),
            valueNorm: try norm(.latentNorm),
            latent: Latent(
                shape: mixer, compression: compression,
                plainQuery: try weights.matrix(.plainQuery, layer: layer),
                keys: try weights.matrix(.latentKeys, layer: layer),
                values: try weights.matrix(.latentValues, layer: layer)))
    }
}
