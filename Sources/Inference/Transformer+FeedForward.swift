// The feed-forward half of a layer: dense networks, and mixtures of experts.

internal import Kernels
internal import LinuxSystem
internal import ModelFormat
internal import WeightStore

extension Transformer {
    func feedForward(_ layer: LayerGraph, tokens: Int, _ activations: inout Activations)
        throws(ReadFailure)
    {
        normalizeHidden(layer.feedForwardNorm, tokens: tokens, &activations)
        switch layer.feedForward {
        case .dense(let network):
            try project(network, tokens: tokens, &activations)
        case .mixture(let mixture):
            try mix(mixture, layer: layer.index, tokens: tokens, &activations)
        }
        addProjectedToHidden(tokens: tokens, &activations)
    }

    /// A whole network from `normed` to `projected`: gate and up, activation, down.
    private func project(
        _ network: LayerGraph.Dense, tokens: Int, _ activations: inout Activations
    ) throws(ReadFailure) {
        let count = tokens * network.width
        if let gate = network.gate {
            try multiply(gate, by: activations.normed, tokens: tokens, into: &activations.gate)
            try multiply(network.up, by: activations.normed, tokens: tokens, into: &activations.up)
            kernels.activate(
                activation, gate: activations.gate, up: activations.up,
                into: &activations.gated.floats, count: count)
        } else {
            try multiply(
                network.up, by: activations.normed, tokens: tokens, into: &activations.gated.floats)
            var gated = activations.gated.floats.mutableSpan
            kernels.activate(activation, &gated, count: count)
        }
        kernels.prepare(&activations.gated, tokens: tokens, columns: network.width, team: team)
        try multiply(
            network.down, by: activations.gated, tokens: tokens, into: &activations.projected)
    }

    private func mix(
        _ mixture: LayerGraph.Mixture, layer: Int, tokens: Int, _ activations: inout Activations
    ) throws(ReadFailure) {
        let routing = try route(mixture, tokens: tokens, &activations)
        if let shared = mixture.shared {
            try project(shared, tokens: tokens, &activations)
            gateShared(mixture, tokens: tokens, &activations)
        } else {
            clearProjected(tokens: tokens, &activations)
        }
        try store.withExperts(layer: layer, routing.demanded) { expert, bundle in
            let start = MonotonicClock.nanoseconds
            computeExpert(
                mixture.experts, bundle, places: routing.places(of: expert), routing,
                &activations)
            computeNanoseconds += MonotonicClock.nanoseconds - start
        }
        addExperts(routing, tokens: tokens, &activations)
    }

    private func route(
        _ mixture: LayerGraph.Mixture, tokens: Int, _ activations: inout Activations
    ) throws(ReadFailure) -> Routing {
        guard let shape = graph.hyperparameters.experts else {
            preconditionFailure("a mixture without experts")
        }
        try multiply(
            mixture.router, by: activations.normed, tokens: tokens,
            into: &activations.routerLogits)
        let router = Router(shape, graph.family)
        var routing = Routing(expertsPerToken: shape.usedCount)
        for token in 0..<tokens {
            var scores = activations.routerLogits.mutableSpan(
                in: token * shape.count..<(token + 1) * shape.count)
            switch shape.gating {
            case .softmax: kernels.softmax(&scores, count: shape.count)
            case .sigmoid: kernels.sigmoid(&scores, count: shape.count)
            }
            router.choose(scores.span, into: &routing)
        }
        return routing
    }

    /// `projected *= sigmoid(gate · normed)`, token by token (Qwen 2 MoE).
    private func gateShared(
        _ mixture: LayerGraph.Mixture, tokens: Int, _ activations: inout Activations
    ) {
        guard let weights = mixture.sharedRouter else { return }
        let width = shape.width
        for token in 0..<tokens {
            let row = token * width
            var score: Float = 0
            for column in 0..<width {
                score += weights[column] * activations.normed.floats[row + column]
            }
            var gate: [Float] = [score]
            var span = gate.mutableSpan
            kernels.sigmoid(&span, count: 1)
            for column in 0..<width { activations.projected[row + column] *= gate[0] }
        }
    }

    private func clearProjected(tokens: Int, _ activations: inout Activations) {
        var projected = activations.projected.mutableSpan
        for index in 0..<tokens * shape.width { projected[index] = 0 }
    }

    /// One expert on the tokens that chose it; results go to `expertOutputs`, where each token's
    /// ranking has a place for each of its experts, so that the order of arrival changes nothing.
    private func computeExpert(
        _ experts: PackedExpertLayer, _ bundle: RawSpan, places: [Int], _ routing: Routing,
        _ activations: inout Activations
    ) {
        let count = places.count
        let rows = places.map { Int32($0 / routing.expertsPerToken) }
        activations.expertNormed.copyRows(
            from: activations.normed, rows: rows.span, columns: shape.width)
        multiplyPart(
            experts.gate, bundle, by: activations.expertNormed, tokens: count,
            into: &activations.expertGate)
        multiplyPart(
            experts.up, bundle, by: activations.expertNormed, tokens: count,
            into: &activations.expertUp)
        kernels.activate(
            activation, gate: activations.expertGate, up: activations.expertUp,
            into: &activations.expertGated.floats, count: count * experts.gate.rows)
        kernels.prepare(
            &activations.expertGated, tokens: count, columns: experts.gate.rows, team: team)
        multiplyPart(
            experts.down, bundle, by: activations.expertGated, tokens: count,
            into: &activations.expertOutput)
        kernels.scatter(
            activations.expertOutput, to: places, of: &activations.expertOutputs,
            width: shape.width)
    }

    private func multiplyPart(
        _ part: PackedBundlePart, _ bundle: RawSpan, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>
    ) {
        let bytes = bundle.extracting(part.byteOffset..<part.byteOffset + part.byteCount)
        var result = output.mutableSpan
        kernels.multiply(
            bytes, format: part.format, rows: part.rows, columns: part.columns, by: input,
            tokens: tokens, into: &result, rowOffset: 0, outputStride: part.rows, team: team)
    }

    /// `projected += Σ weight · output`, each token's experts in the order of its ranking.
    private func addExperts(_ routing: Routing, tokens: Int, _ activations: inout Activations) {
        let width = shape.width
        for place in 0..<tokens * routing.expertsPerToken {
            kernels.add(
                activations.expertOutputs, from: place * width, scale: routing.weights[place],
                to: &activations.projected, at: place / routing.expertsPerToken * width,
                count: width)
        }
    }
}
