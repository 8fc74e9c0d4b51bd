// Mixtures of experts: routing, the experts' networks as their bundles become available, and the
// sum of each token's experts in the order of its ranking, so that the order of arrival changes
// nothing.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import Weights

extension BufferName {
    fileprivate static let routerLogits = Self("mixture, router logits")
    fileprivate static let outputs = Self("mixture, experts' results")
    fileprivate static let aside = Self("mixture, what a dense network beside it gives")
}

/// Mixtures, from `normed` right into `hidden`.
final class MixtureBlock {
    private let graph: ModelGraph
    private let executor: Executor
    private let products: Products
    private let weights: ExpertWeights
    private let observer: PassObserver
    private let store: WeightStore
    /// Computes the expert that every token uses.
    private let shared: DenseBlock?
    /// Tokens × experts.
    private var routerLogits: Buffer<Float>
    /// Tokens × experts used rows × width, expert by expert (`Routing.rows`).
    private var outputs: Buffer<Float>
    /// Tokens × width, where a layer has a dense network, too.
    private var aside: Buffer<Float>
    private var batch: ExpertBatch
    /// The present layer's and wave's.
    private var routing: Routing
    /// The present layer's experts of all waves, when someone is to be told.
    private var routed: [Int32] = []
    /// Whom the next layer's router names on the present hidden state.
    private var predicted: Routing

    static func isNeeded(_ sizes: ActivationShape) -> Bool { sizes.model.experts != nil }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        guard let experts = sizes.model.experts else { return }
        let tokens = sizes.tokensMax
        let routesFirst = sizes.model.layers.contains {
            $0.feedForward.mixture?.routerInput == .layerInput
        }
        buffers.add(
            .routerLogits, .floats(tokens * experts.count),
            routesFirst ? [.mixerInput, .feedForward] : .feedForward)
        buffers.add(
            .outputs, .floats(tokens * experts.usedCount * sizes.model.width), .feedForward)
        let hasBoth = sizes.model.layers.contains(where: \.feedForward.isBoth)
        buffers.add(.aside, .floats(hasBoth ? tokens * sizes.model.width : 0), .feedForward)
        ExpertBatch.declare(sizes, experts, in: &buffers)
    }

    init(_ context: BlockContext, shared: DenseBlock?) {
        guard let experts = context.graph.shape.experts else {
            preconditionFailure("a mixture without experts")
        }
        graph = context.graph
        executor = context.executor
        products = context.products
        store = context.store
        weights = context.store.experts
        observer = context.observer
        self.shared = shared
        routerLogits = context.workspace.floats(.routerLogits)
        outputs = context.workspace.floats(.outputs)
        aside = context.workspace.floats(.aside)
        batch = ExpertBatch(context, experts)
        predicted = Routing(
            expertCount: experts.count, expertsPerToken: experts.usedCount, tokensMax: 1)
        routing = Routing(
            expertCount: experts.count, expertsPerToken: experts.usedCount,
            tokensMax: context.sizes.tokensMax)
    }

    /// Begins a pass: forgets what one that failed has left.
    func begin() {
        batch.removeAll()
        routed.removeAll(keepingCapacity: true)
    }

    func run(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let tokens = wave.tokenCount
        if !mixture.routesFirst { try route(mixture, layer, tokens: tokens, residual) }
        if observer.onRouting != nil { routed += routing.experts }
        var demand = try store.demand(experts: routing.demanded, layer: layer.index)
        // Meanwhile, what is missing is read.
        if let network = mixture.shared {
            try runShared(network, mixture, layer, tokens: tokens, &residual)
        }
        if let beside = mixture.beside { try runBeside(beside, layer, wave, &residual) }
        if tokens == 1 && !mixture.routesFirst {
            try predictExperts(after: layer.index, &residual)
        }
        while let experts = try demand.next() {
            for index in 0..<experts.count {
                let rows = routing.rows(of: experts.number(index))
                if !batch.holds(rows.count) { compute(mixture, residual) }
                batch.isOneToken = tokens == 1
                batch.collect(
                    mixture.experts, experts.bytes(index), routing.tokens[rows],
                    by: residual.normed, into: &outputs, at: rows.lowerBound)
            }
            compute(mixture, residual)
        }
        if layer.afterFeedForwardNorm == nil {
            executor.addExperts(
                outputs, routing, shared: residual.projected, hasShared: mixture.shared != nil,
                rows: wave.rows, columns: graph.shape.width, to: &residual.hidden)
        } else {
            sum(tokens: tokens, hasShared: mixture.shared != nil, &residual)
        }
        if let beside = mixture.beside {
            residual.takeBack(aside, by: beside.afterExpertsNorm, tokens: tokens)
        }
    }

    /// The dense network that is there, too; then what experts read.
    private func runBeside(
        _ beside: LayerGraph.Beside, _ layer: LayerGraph, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        residual.normalize(by: beside.denseNorm, wave)
        try shared?.run(beside.dense, layer: layer.index, tokens: wave.tokenCount, &residual)
        residual.layAside(in: &aside, by: beside.afterDenseNorm, tokens: wave.tokenCount)
        residual.normalize(by: beside.expertsNorm, wave)
    }

    /// What experts add, into `projected`, where it is normed before it is added.
    private func sum(tokens: Int, hasShared: Bool, _ residual: inout ResidualStream) {
        let width = graph.shape.width
        if !hasShared { residual.projected.fill(0, count: tokens * width) }
        executor.addExperts(
            outputs, routing, shared: outputs, hasShared: false, rows: 0..<tokens, columns: width,
            to: &residual.projected)
    }

    /// Chooses experts by the layer's input, as it is. Where experts are read ahead of demand,
    /// these are, while attention computes.
    func routeFirst(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, _ wave: Wave,
        _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        residual.normalize(by: nil, wave)
        try route(mixture, layer, tokens: wave.tokenCount, residual)
        if wave.tokenCount == 1 && !store.plan.streamsDense && weights.canPrefetch {
            weights.predict(layer: layer.index, routing.experts)
            try weights.issuePrefetches()
        }
    }

    /// Tells whoever asked of a layer that all waves went through.
    func reportRouting(layer: Int) {
        guard let onRouting = observer.onRouting, !routed.isEmpty else { return }
        onRouting(layer, routed)
        routed.removeAll(keepingCapacity: true)
    }

    private func route(
        _ mixture: LayerGraph.Mixture, _ layer: LayerGraph, tokens: Int,
        _ residual: borrowing ResidualStream
    ) throws(ReadFailure) {
        try products.multiply(
            mixture.router, by: residual.normed, tokens: tokens, into: &routerLogits)
        executor.addBias(mixture.routerBias, tokens: tokens, to: &routerLogits)
        routing.removeAll()
        let router = Router(
            mixture.shape, bias: mixture.selectionBias, scale: layer.residualScale ?? 1,
            scales: mixture.scales)
        choose(by: router, tokens: tokens, &routerLogits)
        routing.sort()
    }

    private func choose(by router: Router, tokens: Int, _ logits: inout Buffer<Float>) {
        let kernels = executor.kernels
        for token in 0..<tokens {
            let range = (token..<token + 1).scaled(router.shape.count)
            var scores = logits.mutableSpan(in: range)
            router.score(&scores, kernels)
            observer.uniformRouting?.fill(&scores)
            router.choose(scores.span, into: &routing, kernels)
        }
    }

    /// Runs the next layer's router on the present hidden state and tells the store whom it names
    /// (docs/STREAMING.md, "Guessing").
    private func predictExperts(
        after layer: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        guard weights.canPrefetch, !store.plan.streamsDense, layer + 1 < graph.layers.count,
            case .mixture(let next) = graph.layers[layer + 1].feedForward,
            let norm = next.beside?.routerNorm ?? graph.layers[layer + 1].feedForwardNorm
        else { return }
        // One token's experts do not need rows of their own.
        residual.normalize(0..<1, by: norm, into: &batch.normed, at: 0)
        try products.multiply(next.router, by: batch.normed, tokens: 1, into: &routerLogits)
        executor.addBias(next.routerBias, tokens: 1, to: &routerLogits)
        choosePredicted(by: Router(next.shape, bias: next.selectionBias, scale: 1), &routerLogits)
        weights.predict(layer: layer + 1, predicted.experts)
        predicted.removeAll()
    }

    private func choosePredicted(by router: Router, _ logits: inout Buffer<Float>) {
        var scores = logits.mutableSpan(in: 0..<predicted.expertCount)
        // Where nothing is added to probabilities they rank as logits do.
        if !router.ranksByLogits { router.score(&scores, executor.kernels) }
        predicted.choose(scores.span, by: router.selection)
    }

    /// The expert that every token uses, into `projected`: where it has a gate,
    /// `projected *= sigmoid(gate · normed)`, token by token (Qwen 2 MoE).
    private func runShared(
        _ network: LayerGraph.Dense, _ mixture: LayerGraph.Mixture, _ layer: LayerGraph,
        tokens: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        try shared?.run(network, layer: nil, tokens: tokens, &residual)
        if let weights = mixture.sharedRouter {
            executor.gate(
                &residual.projected, by: residual.normed.floats, weights: weights, tokens: tokens)
        }
        residual.scaleProjected(by: layer.residualScale, tokens: tokens)
    }

    private func compute(_ mixture: LayerGraph.Mixture, _ residual: borrowing ResidualStream) {
        batch.compute(mixture.experts, residual.normed, bound: mixture.shape.bound)
    }
}
