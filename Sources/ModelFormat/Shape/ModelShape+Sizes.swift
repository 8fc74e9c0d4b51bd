// What sizing asks of a whole model: numbers of layers together.

extension ModelShape {
    package var layerCount: Int { layers.count }

    /// The attention of each layer that has some.
    package var attentions: [AttentionMixer] { layers.compactMap(\.mixer.attention) }

    /// The layers' latent attention, where they have such.
    package var latents: [LatentMixer] {
        layers.compactMap { if case .latent(let mixer) = $0.mixer { mixer } else { nil } }
    }

    /// The state that each layer has in place of keys and values, where it has one.
    package var recurrents: [RecurrentMixer?] {
        layers.map { if case .recurrent(let mixer) = $0.mixer { mixer } else { nil } }
    }

    /// Bytes of all layers' states of a text, which are floats.
    package var stateBytes: Int {
        recurrents.reduce(0) { $0 + ($1?.stateCount(width: width) ?? 0) } * 4
    }

    /// Whether any layer has a state in place of keys and values.
    package var isRecurrent: Bool { recurrents.contains { $0 != nil } }

    /// The attention of the layer that has the most heads.
    ///
    /// - Precondition: the shape is one that is computed.
    package var attention: AttentionMixer {
        guard let most = attentions.max(by: { $0.headCount < $1.headCount }) else {
            preconditionFailure("no attention")
        }
        return most
    }

    /// The rotary embeddings of the layers, each once, in the order of first use.
    package var ropes: [RotaryEmbedding] {
        attentions.compactMap(\.rope).reduce(into: []) { list, rope in
            if !list.contains(rope) { list.append(rope) }
        }
    }

    /// Whether heads turn as in long contexts where texts may have so many tokens; nil where that
    /// makes no difference.
    package func isLong(_ contextTokens: Int) -> Bool? {
        ropes.lazy.compactMap(\.longContextBeyond).first.map { contextTokens > $0 }
    }

    /// The widest rotation.
    package var rotatedWidth: Int { ropes.map(\.rotatedWidth).max() ?? 0 }

    /// The mixture of the layers that are mixtures; nil for dense models.
    package var experts: MixtureShape? { layers.lazy.compactMap(\.feedForward.mixture).first }

    /// The layers that are mixtures, in order.
    package var mixtures: [(layer: Int, shape: MixtureShape)] {
        layers.enumerated().compactMap { layer, shape in
            shape.feedForward.mixture.map { (layer, $0) }
        }
    }

    /// The dense network of the first layer that has one; nil where all layers are mixtures.
    package var dense: DenseShape? { layers.lazy.compactMap(\.feedForward.dense).first }

    /// Numbers of a token's embeddings of all layers.
    package var layerEmbeddingsWidth: Int { (layerEmbeddingWidth ?? 0) * layerCount }

    /// Width of dense feed-forward networks; 0 where every layer is a mixture of experts.
    package var feedForwardWidth: Int { layers.compactMap(\.feedForward.dense?.width).max() ?? 0 }

    /// Width of the expert that every token uses; 0 where there is none.
    package var sharedExpertWidth: Int {
        layers.compactMap(\.feedForward.mixture?.shared?.width).max() ?? 0
    }

    /// Whether dense feed-forward networks have a gate.
    package var hasGate: Bool { dense?.isGated ?? true }

    /// The nonlinearity of dense networks, else of experts.
    package var activation: Activation { dense?.activation ?? experts?.activation ?? .silu }

    /// Whether a dense feed-forward network's activation makes most neurons' outputs exactly 0, so
    /// that import bundles neurons unless told otherwise.
    package var isSparse: Bool { experts == nil && activation.isSparse }

    /// The same model with another nonlinearity, for files that cannot name it.
    package func with(activation: Activation) -> ModelShape {
        var shape = self
        shape.activationAsked = activation
        for index in shape.layers.indices {
            shape.layers[index].feedForward.dense?.activation = activation
            shape.layers[index].feedForward.mixture?.activation = activation
        }
        return shape
    }
}
