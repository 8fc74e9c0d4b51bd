// The sizes that decide how much memory a step needs, and the sum of what its blocks then say that
// they need.

internal import Memory
package import ModelFormat

/// The sizes of the largest step.
package struct ActivationShape: Sendable, Equatable {
    package let model: ModelShape
    /// Whether feed-forward networks are stored by the neuron.
    let bundlesNeurons: Bool
    /// Tokens that a layer computes together: a wave.
    package let tokensMax: Int
    /// Tokens of a step, all its waves.
    package let passTokensMax: Int
    package let logitsRowsMax: Int
    /// Positions of the longest sequence.
    let contextTokens: Int
    /// Of the longest sequence, those that are in memory at once: the longest prompt of which some
    /// tokens alone can be kept.
    package let hotTokensMax: Int
    /// Whether sequences may have spans that are not in memory.
    var hasColdSpans: Bool { hotTokensMax < contextTokens }

    /// - Parameters:
    ///   - bundlesNeurons: whether feed-forward networks are stored by the neuron.
    ///   - tokensMax: tokens that a layer computes together, all sequences.
    ///   - passTokensMax: tokens of one step; more than `tokensMax` are computed in waves.
    ///   - logitsRowsMax: tokens of one step whose logits are wanted.
    ///   - contextTokens: positions of the longest sequence.
    ///   - hotTokensMax: of those, as many as are in memory at once; nil is all.
    package init(
        _ shape: ModelShape, bundlesNeurons: Bool, tokensMax: Int, passTokensMax: Int,
        logitsRowsMax: Int, contextTokens: Int, hotTokensMax: Int? = nil
    ) {
        model = shape
        self.bundlesNeurons = bundlesNeurons
        self.tokensMax = tokensMax
        self.passTokensMax = max(tokensMax, passTokensMax)
        self.logitsRowsMax = logitsRowsMax
        self.contextTokens = contextTokens
        self.hotTokensMax = min(hotTokensMax ?? contextTokens, contextTokens)
    }

    /// The blocks' buffers.
    var buffers: DeclaredBuffers {
        var buffers = DeclaredBuffers()
        ResidualStream.declare(self, in: &buffers)
        PassAngles.declare(self, in: &buffers)
        ModelBlocks.declare(self, in: &buffers)
        OutputHead.declare(self, in: &buffers)
        return buffers
    }

    /// Bytes that each token beyond `tokensMax` takes.
    package static func waitingTokenBytes(_ shape: ModelShape) -> Int {
        (shape.width + shape.layerEmbeddingsWidth + shape.ropes.count * shape.rotatedWidth)
            * MemoryLayout<Float>.stride
    }

    /// Bytes for the tokens that are computed together alone.
    package var waveBytes: Int {
        let waiting = passTokensMax - tokensMax
        let anglesWidth = 2 * model.ropes.count * (model.rotatedWidth / 2)
        let tokenWidth = model.width + model.layerEmbeddingsWidth + anglesWidth
        return byteCount - waiting * tokenWidth * MemoryLayout<Float>.stride
    }

    /// Bytes of all buffers.
    package var byteCount: Int { buffers.plan.byteCount }
}
