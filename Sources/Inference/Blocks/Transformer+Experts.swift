// Mixtures of experts: routing, the experts' networks as their bundles become available, and the
// sum of each token's experts in the order of its ranking, so that the order of arrival changes
// nothing.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import ModelFormat
internal import Weights

extension Transformer {
    /// A mixture from `normed` into `hidden`.
    func mix(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, _ wave: Wave,
        _ activations: inout Activations
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        if !mixture.routesFirst { try route(mixture, layer, tokens: tokens, &activations) }
        if observer.onRouting != nil { routed += routing.experts }
        var demand = try store.demand(experts: routing.demanded, layer: layer.index)
        // Meanwhile, what is missing is read.
        if let shared = mixture.shared {
            try project(shared, tokens: tokens, &activations)
            gateShared(mixture, tokens: tokens, &activations)
            finishProjected(nil, layer.residualScale, tokens: tokens, &activations)
        }
        if tokens == 1 && !mixture.routesFirst {
            try predictExperts(after: layer.index, &activations)
        }
        while let experts = try demand.next() {
            for index in 0..<experts.count {
                let rows = routing.rows(of: experts.number(index))
                if expertBatch.tokens.count + rows.count > shape.expertRowsMax {
                    computeExperts(mixture.experts, &activations)
                }
                expertBatch.isOneToken = tokens == 1
                collectExpert(
                    mixture.experts, experts.bytes(index), rows: rows, &activations)
            }
            computeExperts(mixture.experts, &activations)
        }
        executor.addExperts(
            activations.expertOutputs, routing, shared: activations.projected,
            hasShared: mixture.shared != nil, rows: wave.rows, columns: shape.width,
            to: &activations.hidden)
    }

    /// Chooses experts by the layer's input, as it is. Where experts are read ahead of demand,
    /// these are, while attention computes.
    func routeFirst(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, _ wave: Wave,
        _ activations: inout Activations
    ) throws(ReadFailure) {
        normalizeHidden(nil, wave, &activations)
        try route(mixture, layer, tokens: wave.tokenCount, &activations)
        if wave.tokenCount == 1 && !store.plan.streamsDense && store.experts.canPrefetch {
            store.experts.predict(layer: layer.index, routing.experts)
            try store.experts.issuePrefetches()
        }
    }

    private func route(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, tokens: Int,
        _ activations: inout Activations
    ) throws(ReadFailure) {
        let shape = mixture.shape
        try products.multiply(
            mixture.router, by: activations.normed, tokens: tokens,
            into: &activations.routerLogits)
        let router = Router(shape, scale: layer.residualScale ?? 1)
        routing.removeAll()
        for token in 0..<tokens {
            var scores = activations.routerLogits.mutableSpan(
                in: token * shape.count..<(token + 1) * shape.count)
            switch shape.gating {
            case .softmax: executor.kernels.softmax(&scores, count: shape.count)
            case .sigmoid: executor.kernels.sigmoid(&scores, count: shape.count)
            case .softmaxOfChosen, .rootOfSoftplus: preconditionFailure("gating not computed")
            }
            observer.uniformRouting?.fill(&scores)
            router.choose(scores.span, into: &routing)
        }
        routing.sort()
    }

    /// Runs the next layer's router on the present hidden state and tells the store whom it names
    /// (docs/STREAMING.md, "Guessing").
    private func predictExperts(
        after layer: Int, _ activations: inout Activations
    ) throws(ReadFailure) {
        guard store.experts.canPrefetch, !store.plan.streamsDense, layer + 1 < graph.layers.count,
            case .mixture(let next) = graph.layers[layer + 1].feedForward,
            let norm = graph.layers[layer + 1].feedForwardNorm
        else { return }
        // Logits are last: until then their input and the router's are free.
        executor.normalize(
            NormedRows(rows: 0..<1, addedFrom: nil, target: 0), of: &activations.hidden,
            adding: activations.projected, by: norm, into: &activations.outputNormed)
        try products.multiply(
            next.router, by: activations.outputNormed, tokens: 1, into: &activations.routerLogits)
        predicted.choose(activations.routerLogits.span.extracting(0..<shape.expertCount))
        store.experts.predict(layer: layer + 1, predicted.experts)
        predicted.removeAll()
    }

    /// `projected *= sigmoid(gate · normed)`, token by token (Qwen 2 MoE).
    private func gateShared(
        _ mixture: LayerGraph.Mixture, tokens: Int, _ activations: inout Activations
    ) {
        guard let weights = mixture.sharedRouter else { return }
        executor.gate(
            &activations.projected, by: activations.normed.floats, weights: weights, tokens: tokens)
    }

    /// Puts one expert's work, on the tokens that chose it, with that of the others of its batch.
    /// Its results go to `rows` of `expertOutputs`.
    private func collectExpert(
        _ experts: PackedExpertLayer, _ bundle: RawSpan, rows: Range<Int>,
        _ activations: inout Activations
    ) {
        let first = expertBatch.tokens.count
        expertBatch.tokens.append(contentsOf: routing.tokens[rows])
        let batch = first..<first + rows.count
        if expertBatch.isOneToken {
            collect(
                experts.gate, bundle, by: activations.normed, 0..<1, into: &activations.expertGate,
                at: first, &expertBatch.firsts)
            collect(
                experts.up, bundle, by: activations.normed, 0..<1, into: &activations.expertUp,
                at: first, &expertBatch.firsts)
        } else {
            collect(
                experts.gate, bundle, by: activations.expertNormed, batch,
                into: &activations.expertGate, at: first, &expertBatch.firsts)
            collect(
                experts.up, bundle, by: activations.expertNormed, batch,
                into: &activations.expertUp, at: first, &expertBatch.firsts)
        }
        collect(
            experts.down, bundle, by: activations.expertGated, batch,
            into: &activations.expertOutputs, at: rows.lowerBound, &expertBatch.downs)
    }

    /// Rows of `input` times a part of a bundle, into the rows of `output` from `row` on.
    private func collect(
        _ part: PackedBundlePart, _ bundle: RawSpan, by input: borrowing ProductInput,
        _ rows: Range<Int>, into output: inout Buffer<Float>, at row: Int,
        _ products: inout ProductGroup
    ) {
        let bytes = bundle.extracting(part.byteOffset..<part.byteOffset + part.byteCount)
        products.add(
            ProductMatrix(bytes, format: part.format, rows: part.rows), columns: part.columns,
            by: input, firstRow: rows.lowerBound, tokens: rows.count, into: &output,
            at: row * part.rows, memberCount: executor.team.memberCount)
    }

    /// Computes the collected experts: all gates and ups, activations, all downs.
    private func computeExperts(_ experts: PackedExpertLayer, _ activations: inout Activations) {
        let rowCount = expertBatch.tokens.count
        guard rowCount > 0 else { return }
        let start = MonotonicClock.nanoseconds
        if !expertBatch.isOneToken {
            executor.gather(
                activations.normed, rows: expertBatch.tokens, columns: shape.width,
                withFloats: experts.gate.format.multipliesFloats
                    || experts.up.format.multipliesFloats,
                into: &activations.expertNormed)
        }
        executor.multiply(&expertBatch.firsts)
        executor.activate(
            activation, gate: activations.expertGate, up: activations.expertUp, isGated: true,
            rows: rowCount, columns: experts.gate.rows, into: &activations.expertGated)
        executor.multiply(&expertBatch.downs)
        expertBatch.tokens.removeAll(keepingCapacity: true)
        executor.count(since: start)
    }
}

/// Experts of a layer that are computed together.
struct ExpertBatch: ~Copyable {
    /// Of each row of the batch, the token.
    package var tokens: [Int32] = []
    /// Whether all rows are one token's, and read the same activations.
    var isOneToken = false
    /// Gates and ups, then downs.
    var firsts = ProductGroup()
    var downs = ProductGroup()

    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        firsts.removeAll()
        downs.removeAll()
    }
}
