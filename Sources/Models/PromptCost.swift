// What computing a prompt takes, before it is computed: steps of many tokens, each of which reads
// what does not stay once, touches it once, and multiplies it with every token's activations.

internal import FlashStorage
internal import Inference
internal import Knobs
internal import LinuxSystem
internal import ModelFormat
internal import Weights

/// What a model's prompts take, of any length.
struct PromptCost: Sendable, Equatable {
    /// Experts of one layer.
    private struct Experts: Sendable, Equatable {
        let count: Int
        let stride: Double
        let bundleBytes: Double
    }

    /// Scores and sums of attention take so many times as long as products of weights: they are of
    /// floats.
    private static let attentionFactor = 4.0

    /// All dense weights, those of all neurons among them: of a step, some token needs any.
    private let dense: NeuronWay
    private let experts: [Experts]
    private let usedCount: Int
    /// The share of experts that have a slot.
    private let slotShare: Double
    /// Of weights, for each token; the output's alone for the last.
    private let multiplyAdds: Double
    private let outputMultiplyAdds: Double
    /// Of queries with one position's keys, and of its values, for each token.
    private let attentionMultiplyAdds: Double
    private let tokensPerStep: Int

    init(_ division: Division, _ manifest: PackedManifest) {
        let plan = division.plan
        dense = division.neuronWays.first { $0.mode == .off } ?? NeuronWay(streaming: plan)
        let used = manifest.shape.experts?.usedCount ?? 0
        let all = manifest.experts.reduce(0) { $0 + $1.count }
        experts = manifest.experts.map {
            Experts(
                count: $0.count, stride: Double($0.stride), bundleBytes: Double($0.bundleBytes))
        }
        usedCount = used
        slotShare = all > 0 ? Double(plan.expertSlotCount) / Double(all) : 1
        func products(_ matrix: PackedMatrix) -> Double { Double(matrix.rows * matrix.columns) }
        let (last, layers) = (
            manifest.matrices.filter { $0.role == .output },
            manifest.matrices.filter { $0.role != .output }
        )
        let whole = Set(layers.filter { $0.role == .feedForwardUp }.map(\.layer))
        let neurons = (manifest.neurons ?? []).filter { !whole.contains($0.layer) }
        multiplyAdds =
            layers.reduce(0) { $0 + products($1) }
            + neurons.reduce(0) { $0 + Double($1.count * $1.width * ($1.gate == nil ? 2 : 3)) }
            + manifest.experts.reduce(0) { sum, layer in
                let parts = [layer.gate, layer.up, layer.down].compactMap(\.self)
                return sum + Double(used) * parts.reduce(0) { $0 + Double($1.rows * $1.columns) }
            }
        outputMultiplyAdds = last.reduce(0) { $0 + products($1) }
        attentionMultiplyAdds = layers.filter { $0.role == .attentionQuery }
            .reduce(0) { $0 + 2 * Double($1.rows) }
        tokensPerStep = max(1, division.tokensPerStep)
    }

    /// How long `tokens` of a prompt take that come after `cachedTokens`, up to the first token of
    /// the answer; nil where the drive is not known and something is read.
    func seconds(tokens: Int, after cachedTokens: Int, _ machine: MachineSpeeds) -> Double? {
        guard let rate = machine.multiplyAddsPerSecond else { return nil }
        var (seconds, first) = (outputMultiplyAdds / rate, cachedTokens)
        let end = cachedTokens + max(1, tokens)
        while first < end {
            let count = min(tokensPerStep, end - first)
            let positions = Double(first) + Double(count) / 2
            let computing =
                Double(count)
                * (multiplyAdds + positions * attentionMultiplyAdds * Self.attentionFactor) / rate
            guard let moving = machine.seconds(moved(tokens: count)) else { return nil }
            // Weights come, from flash and from memory, while others are computed on.
            seconds += max(moving, computing)
            first += count
        }
        return seconds
    }

    /// What a step of so many tokens reads and touches. Experts are as likely as each other.
    private func moved(tokens: Int) -> NeuronWay {
        var (read, touched) = (0.0, 0.0)
        for layer in experts where layer.count > 0 {
            let misses = 1 - Double(usedCount) / Double(layer.count)
            let needed = Double(layer.count) * (1 - Mathematics.power(misses, Double(tokens)))
            read += needed * layer.stride * (1 - slotShare)
            touched += needed * layer.bundleBytes
        }
        return dense.adding(streamed: read, touched: touched)
    }
}
