// Who really fires for which token, as exact decoding knows it, and how predictions compare.

internal import Inference
internal import LinuxSystem
internal import ModelFormat
internal import Models

/// A bit for each token, layer and neuron, in the order in which they were computed.
struct FiringRecord: Sendable, Equatable {
    var bits: [UInt64] = []

    mutating func add(_ fires: (Int) -> Bool, neurons: Int) {
        for first in stride(from: 0, to: neurons, by: 64) {
            var word: UInt64 = 0
            for bit in 0..<min(64, neurons - first) where fires(first + bit) {
                word |= 1 << UInt64(bit)
            }
            bits.append(word)
        }
    }
}

/// Listens to a model while it generates: keeps who fires in exact rows, and counts in predicted
/// rows whom predictions miss.
final class FiringRecorder {
    private(set) var truth: FiringRecord
    private let model: ModelInstance
    /// Words of ``truth`` that were compared.
    private var position = 0
    private var counts = Counts()

    private struct Counts {
        var firing = 0
        var silent = 0
        var missed = 0
        var superfluous = 0
    }

    /// - Parameter truth: of the same tokens, from exact decoding; empty when there is none.
    init(_ model: ModelInstance, _ truth: FiringRecord) {
        self.model = model
        self.truth = truth
    }

    /// Of neurons that fire, those that were not computed.
    var missed: Double? {
        counts.firing > 0 ? Double(counts.missed) / Double(counts.firing) : nil
    }

    /// Of neurons that do not fire, those that were computed.
    var superfluous: Double? {
        counts.firing > 0 ? Double(counts.superfluous) / Double(counts.silent) : nil
    }

    /// Begins to listen: to single tokens, which a prompt does not come as.
    func listen(_ step: LadderStep) {
        switch step {
        case .naive, .half: return
        case .exact:
            model.transformer.observer.onNeurons = { [self] layer, _, projections, tokens in
                let neurons = model.manifest.neurons?[layer].count ?? 0
                // Sparse activations are 0 for what is not positive.
                if tokens == 1 { truth.add({ projections[$0] > 0 }, neurons: neurons) }
            }
        case .exactWindow: return
        case .predictor, .window, .bundling:
            model.transformer.observer.onPrediction = { [self] layer, computed in
                compare(computed, neurons: model.manifest.neurons?[layer].count ?? 0)
            }
        }
    }

    /// Ends what ``listen(_:)`` began; the model then goes when its owner lets it go.
    func stop() {
        model.transformer.observer.onNeurons = nil
        model.transformer.observer.onPrediction = nil
    }

    private func compare(_ computed: Span<Int32>, neurons: Int) {
        guard position + (neurons + 63) / 64 <= truth.bits.count else { return }
        var firing = 0
        for index in position..<position + (neurons + 63) / 64 {
            firing += truth.bits[index].nonzeroBitCount
        }
        var found = 0
        for index in 0..<computed.count {
            let neuron = Int(computed[index])
            found += Int(truth.bits[position + neuron / 64] >> UInt64(neuron % 64) & 1)
        }
        counts.firing += firing
        counts.silent += neurons - firing
        counts.missed += firing - found
        counts.superfluous += computed.count - found
        position += (neurons + 63) / 64
    }
}
