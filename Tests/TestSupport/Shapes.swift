// Shapes of models whose layers are alike, for tests that need some shape.

package import ModelFormat

extension ModelShape {
    /// Alike layers under root-mean-square norms.
    package static func alike(
        _ architecture: String = "llama", contextLength: Int = 512, layerCount: Int, width: Int,
        attention: AttentionMixer, feedForward: FeedForwardShape, vocabularySize: Int = 10,
        epsilon: Float = 1e-5
    ) -> ModelShape {
        ModelShape(
            architecture: architecture, contextLength: contextLength, width: width,
            vocabularySize: vocabularySize,
            norm: NormShape(.rootMeanSquare, epsilon: epsilon),
            layers: Array(
                repeating: LayerShape(mixer: .attention(attention), feedForward: feedForward),
                count: layerCount))
    }

    /// Changes every layer.
    package mutating func changeLayers(_ body: (inout LayerShape) -> Void) {
        for index in layers.indices { body(&layers[index]) }
    }
}

extension AttentionMixer {
    /// Heads of one width, rotated whole with a base of 10,000.
    package static func rotating(
        heads: Int, keyValueHeads: Int, width: Int, valueWidth: Int? = nil,
        _ pairing: RotaryPairing = .halves
    ) -> AttentionMixer {
        AttentionMixer(
            headCount: heads, keyValueHeadCount: keyValueHeads, keyHeadWidth: width,
            valueHeadWidth: valueWidth ?? width,
            rope: RotaryEmbedding(base: 10_000, rotatedWidth: width, pairing: pairing))
    }
}
