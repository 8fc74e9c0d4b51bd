// Thresholds for training-free sparsity: how strongly neurons fire, measured over a text, and what
// leaving out the weakest costs and saves, measured with its last part.

internal import Compute
internal import Inference
internal import LinuxSystem
internal import Measurement
package import ModelFormat
package import Models
package import Weights

/// What a sparsity means for the held-out tokens.
package struct SparsityPoint: Sendable, Equatable {
    /// The share of neurons that was asked to be silent; 0 leaves out none.
    package var sparsity: Float
    /// The share that was.
    package var silentShare: Float = 0
    /// Of the feed-forward networks' bytes as matrices, those that a token needs: the first
    /// projection, and the bundles of the others.
    package var bytesShare: Float = 0
    /// Mean negative natural-log likelihood.
    package var loss: Double = 0
}

package struct FiringCalibrator {
    private let model: ModelInstance
    private let layers: [PackedNeuronLayer]
    /// The neuron at each place, by layer; nil is the file's order.
    private let orders: [[UInt32]]?
    private let onProgress: (Double) -> Void

    /// - Parameters:
    ///   - model: opened for evaluation (see `Evaluator`).
    ///   - orders: for each layer the neuron at each place, where the file is to get another order
    ///     than it has.
    /// - Throws: `CalibrationError` when the model's neurons are no bundles.
    package init(
        model: ModelInstance, orders: [[UInt32]]? = nil,
        onProgress: @escaping (Double) -> Void
    ) throws(CalibrationError) {
        guard let layers = model.manifest.neurons else {
            let shape = model.manifest.shape
            guard shape.experts == nil else { throw .notSparse(activation: "that of experts") }
            throw .noBundles
        }
        self.model = model
        self.layers = layers
        self.orders = orders
        self.onProgress = onProgress
    }

    /// The sparsities that are measured.
    private var sparsities: [Float] {
        model.manifest.shape.isSparse
            ? [0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99]
            : [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    }

    /// Measures with `tokens`; the model computes all its neurons afterwards.
    ///
    /// - Parameter tally: of the tokens that are learned from, where they have been computed.
    /// - Throws: `CalibrationError`, such as for a text that is too short.
    package func calibrate(
        _ tokens: [TokenID], tally: FiringTally? = nil
    ) throws(CalibrationError) -> (thresholds: FiringThresholds, points: [SparsityPoint]) {
        guard tokens.count >= Calibrator.tokensMin else {
            throw .tooFewTokens(found: tokens.count, needed: Calibrator.tokensMin)
        }
        defer { model.transformer.firingThresholds = [] }
        let split = tokens.count - tokens.count / Calibrator.heldOutShare
        let heldOut = Array(tokens[split...])
        let first = tally == nil ? split : 0
        let total = Double(first + sparsities.count * heldOut.count)
        let counted: FiringTally
        if let tally {
            counted = tally
        } else {
            counted = try measure(Array(tokens[..<split]), share: Double(split) / total)
        }
        let measured = try thresholds(counted)
        var points: [SparsityPoint] = []
        for sparsity in sparsities {
            let done = Double(first + points.count * heldOut.count) / total
            points.append(try point(sparsity, measured, heldOut))
            onProgress(done + Double(heldOut.count) / total)
        }
        return (measured, points)
    }

    private func measure(
        _ tokens: [TokenID], share: Double
    ) throws(CalibrationError) -> FiringTally {
        model.transformer.firingThresholds = []
        let tally = FiringTally(model)
        var done = 0
        model.transformer.observer.onNeurons = { layer, _, projections, count in
            tally.add(layer: layer, projections.span, tokens: count)
            guard layer == layers.count - 1 else { return }
            done += count
            onProgress(share * Double(done) / Double(tokens.count))
        }
        defer { model.transformer.observer.onNeurons = nil }
        do { try Evaluator(model: model).compute(tokens) } catch { throw .evaluation(error) }
        return tally
    }

    private func thresholds(
        _ tally: FiringTally
    ) throws(CalibrationError) -> FiringThresholds {
        let quantiles = tally.layers.compactMap { $0.quantiles(FiringThresholds.count) }
        guard quantiles.count == layers.count else { throw .noConvergence }
        return FiringThresholds(quantiles: quantiles)
    }

    private func point(
        _ sparsity: Float, _ measured: FiringThresholds, _ tokens: [TokenID]
    ) throws(CalibrationError) -> SparsityPoint {
        let magnitudes = measured.magnitudes(sparsity: sparsity)
        model.transformer.firingThresholds = magnitudes
        let orders =
            orders
            ?? layers.map { record in
                (0..<record.count).map { place in
                    let place = NeuronPlace(place)
                    return UInt32(
                        model.store.neurons.neuron(at: place, layer: record.layer).rawValue)
                }
            }
        let counts = Box((silent: 0, neurons: 0, needed: 0, whole: 0))
        let loss = try evaluate(tokens) { layer, activations, count in
            let record = layers[layer]
            for token in 0..<count {
                let row = activations.extracting(
                    token * record.count..<(token + 1) * record.count)
                let (fired, bundles) = Self.firing(
                    row, order: orders[layer], record.neuronsPerBundle, magnitudes[layer])
                counts.value.silent += record.count - fired
                counts.value.needed += record.firstMatrixBytes + bundles * record.bundleBytes
            }
            counts.value.neurons += count * record.count
            counts.value.whole += count * record.wholeBytes
        }
        var point = SparsityPoint(sparsity: sparsity)
        point.silentShare = Float(counts.value.silent) / Float(max(1, counts.value.neurons))
        point.bytesShare = Float(counts.value.needed) / Float(max(1, counts.value.whole))
        point.loss = loss
        return point
    }

    /// How many neurons fire, and how many bundles they are in.
    private static func firing(
        _ activations: Span<Float>, order: [UInt32], _ neuronsPerBundle: Int, _ magnitude: Float
    ) -> (neurons: Int, bundles: Int) {
        var (neurons, bundles, last) = (0, 0, -1)
        for (place, neuron) in order.enumerated() {
            let value = activations[Int(neuron)].magnitude
            guard value != 0, !(value < magnitude) else { continue }
            neurons += 1
            let bundle = place / neuronsPerBundle
            if bundle != last { bundles += 1 }
            last = bundle
        }
        return (neurons, bundles)
    }

    /// Runs the model over `tokens`, and calls `body` with each layer's activations, tokens ×
    /// neurons.
    ///
    /// - Returns: the mean loss.
    private func evaluate(
        _ tokens: [TokenID], _ body: @escaping (Int, Span<Float>, Int) -> Void
    ) throws(CalibrationError) -> Double {
        let values = Box(Activations(model))
        model.transformer.observer.onNeurons = { layer, _, projections, count in
            let used = count * layers[layer].count
            values.value.compute(projections.span, count: used)
            let activated = values.value.values
            body(layer, activated.span.extracting(0..<used), count)
        }
        defer { model.transformer.observer.onNeurons = nil }
        do throws(EvaluationError) {
            return try Evaluator(model: model).evaluate(tokens, generate: 0).meanLoss
        } catch {
            throw .evaluation(error)
        }
    }
}

extension PackedNeuronLayer {
    /// Bytes of the first projection's matrix.
    fileprivate var firstMatrixBytes: Int { count * (gate ?? up).rowBytes(columns: width) }

    /// Bytes of the whole network as matrices.
    fileprivate var wholeBytes: Int {
        let down =
            scales == nil
            ? count * self.down.rowBytes(columns: width)
            : width * self.down.rowBytes(columns: count)
        return firstMatrixBytes + count * upBytes + down
    }
}

/// Neurons' activations from their first projections.
struct Activations {
    private let function: Activation
    /// Those computed last, and maybe older ones after them.
    private(set) var values: [Float] = []

    init(_ model: ModelInstance) {
        let shape = model.manifest.shape
        function = shape.activation
    }

    mutating func compute(_ projections: Span<Float>, count: Int) {
        if values.count < count { values = [Float](repeating: 0, count: count) }
        let function = function
        var span = values.mutableSpan
        for index in 0..<count { span[index] = projections[index] }
        Kernels.best.activate(function, &span, count: count)
    }
}

/// How strongly each layer's neurons fire, counted while the model runs.
package final class FiringTally {
    fileprivate var layers: [MagnitudeTally]
    private var activations: Activations
    private let neuronCount: Int

    package init(_ model: ModelInstance) {
        neuronCount = model.manifest.shape.feedForwardWidth
        layers = [MagnitudeTally](
            repeating: MagnitudeTally(), count: model.manifest.shape.layerCount)
        activations = Activations(model)
    }

    /// - Parameter projections: those of `tokens` tokens, all neurons of each, come first.
    func add(layer: Int, _ projections: Span<Float>, tokens: Int) {
        let used = tokens * neuronCount
        activations.compute(projections, count: used)
        let values = activations.values
        layers[layer].add(values.span.extracting(0..<used))
    }
}

/// A value that closures change.
private final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
}
