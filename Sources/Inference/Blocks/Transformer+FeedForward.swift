// The feed-forward half of a layer: dense networks. Transformer+Experts.swift has mixtures.

internal import FlashStorage

extension Transformer {
    func feedForward(_ layer: LayerGraph, _ wave: Wave, _ activations: inout Activations)
        throws(ReadFailure)
    {
        normalizeHidden(layer.feedForwardNorm, wave, &activations)
        switch layer.feedForward {
        case .dense(let network):
            try project(
                network, layer: layer.index, tokens: wave.tokenCount, &activations)
        case .neurons(let network):
            try sumNeurons(network, tokens: wave.tokenCount, &activations)
        case .mixture(let mixture):
            // Adds to the residual stream by itself.
            return try mix(mixture, layer, wave, &activations)
        }
        finishProjected(
            layer.afterFeedForwardNorm, layer.residualScale, tokens: wave.tokenCount, &activations)
        activations.isProjectedDue = true
    }

    /// A whole network from `normed` to `projected`: gate and up, activation, down, each product
    /// with its bias where there is one. `layer` is nil for what is not a layer's own network.
    func project(
        _ network: LayerGraph.Dense, layer: Int? = nil, tokens: Int,
        _ activations: inout Activations
    ) throws(ReadFailure) {
        if let gate = network.gate {
            try products.collect(
                gate, by: activations.normed, tokens: tokens, into: &activations.gate)
        }
        try products.collect(
            network.up, by: activations.normed, tokens: tokens, into: &activations.up)
        products.computeCollected()
        addBias(network.gateBias, tokens: tokens, to: &activations.gate)
        addBias(network.upBias, tokens: tokens, to: &activations.up)
        if let layer, let onNeurons = observer.onNeurons {
            network.gate == nil
                ? onNeurons(layer, activations.normed, &activations.up, tokens)
                : onNeurons(layer, activations.normed, &activations.gate, tokens)
        }
        executor.activate(
            activation, gate: activations.gate, up: activations.up, isGated: network.gate != nil,
            rows: tokens, columns: network.width, into: &activations.gated)
        try products.multiply(
            network.down, by: activations.gated, tokens: tokens, into: &activations.projected)
        addBias(network.downBias, tokens: tokens, to: &activations.projected)
    }
}
