// Calibration as a whole: run the model over a text, learn a predictor and an order for each layer,
// choose ranks and thresholds on held-out tokens, and measure with the same ones what it costs.

internal import Compute
internal import Inference
internal import LinuxSystem
internal import Measurement
internal import Memory
package import ModelFormat
package import Models
package import Weights

package struct Calibrator {
    /// The least text: below it a predictor learns the text and not the model.
    package static let tokensMin = 1024
    /// One token in so many is held out, at the text's end.
    static let heldOutShare = 5

    private let model: ModelInstance
    private let recall: Float
    /// Neurons whose weights fit a block of the drive.
    private let neuronsPerBundle: Int
    /// Bytes of a neuron's rows and column.
    private let neuronBytes: Int
    /// Told how far it is: 0...1.
    private let onProgress: (Double) -> Void

    /// - Parameters:
    ///   - model: opened for evaluation (see `Evaluator`).
    ///   - recall: of neurons that fire, the share that shall be predicted.
    /// - Throws: `CalibrationError` when the model has no sparse layers.
    package init(
        model: ModelInstance, recall: Float, onProgress: @escaping (Double) -> Void
    ) throws(CalibrationError) {
        precondition(recall > 0 && recall < 1, "a share")
        let shape = model.manifest.shape
        guard shape.isSparse else {
            let activation = shape.activation
            throw .notSparse(
                activation: shape.experts == nil ? activation.rawValue : "that of experts")
        }
        self.model = model
        self.recall = recall
        neuronBytes = Self.neuronBytes(model.manifest)
        neuronsPerBundle = max(1, PackedLayout.alignment / max(1, neuronBytes))
        self.onProgress = onProgress
    }

    /// Calibrates with `tokens`.
    ///
    /// - Parameter tally: gets the magnitudes of the tokens that are learned from, so that nobody
    ///   need compute them again.
    /// - Throws: `CalibrationError`, such as for a text that is too short or for want of OpenBLAS.
    package func calibrate(
        _ tokens: [TokenID], tally: FiringTally? = nil
    ) throws(CalibrationError) -> NeuronPredictors {
        guard tokens.count >= Self.tokensMin else {
            throw .tooFewTokens(found: tokens.count, needed: Self.tokensMin)
        }
        guard shape.width % 32 == 0 else { throw .oddWidth(shape.width) }
        let algebra = try LinearAlgebra(threads: model.transformer.executor.team.memberCount)
        let split = tokens.count - tokens.count / Self.heldOutShare
        let (samples, _) = try collect(
            Array(tokens[..<split]), from: 0, to: 0.3, isScored: false, tally)
        let (heldOut, loss) = try collect(
            Array(tokens[split...]), from: 0.3, to: 0.4, isScored: true, nil)
        let layers = try train(samples, heldOut, algebra)
        var report = NeuronPredictors.Report()
        report.tokens = split
        report.heldOutTokens = tokens.count - split
        report.recallTarget = recall
        report.loss = Float(loss)
        let measured = try measure(layers, heldOut, report)
        onProgress(1)
        return measured
    }

    private var shape: ModelShape { model.manifest.shape }

    private static func neuronBytes(_ manifest: PackedManifest) -> Int {
        let matrices: [MatrixRole] = [.feedForwardGate, .feedForwardUp]
        let rows = matrices.compactMap { manifest.matrix($0, layer: 0) }
            .map { $0.format.rowBytes(columns: $0.columns) }
        // A column is stored like a row, whether it is one already or not.
        return rows.reduce(0, +) + (rows.last ?? 0)
    }

    /// Runs the model over `tokens`; the loss is 0 where it is not wanted.
    private func collect(
        _ tokens: [TokenID], from start: Double, to end: Double, isScored: Bool,
        _ tally: FiringTally?
    ) throws(CalibrationError) -> (samples: NeuronSamples, loss: Double) {
        let box = SampleBox(
            NeuronSamples(
                layerCount: shape.layerCount, width: shape.width,
                neuronCount: shape.feedForwardWidth, tokenCount: tokens.count))
        let (last, total) = (shape.layerCount - 1, Double(tokens.count))
        var done = 0
        model.transformer.observer.onNeurons = { layer, input, projections, count in
            box.samples.add(
                layer: layer, inputs: input.floats.span, projections: projections.span,
                tokens: count)
            tally?.add(layer: layer, projections.span, tokens: count)
            guard layer == last else { return }
            done += count
            onProgress(start + (end - start) * Double(done) / total)
        }
        defer { model.transformer.observer.onNeurons = nil }
        guard isScored else {
            do { try Evaluator(model: model).compute(tokens) } catch { throw .evaluation(error) }
            return (box.samples, 0)
        }
        let loss = try evaluate(tokens)
        return (box.samples, loss)
    }

    private func evaluate(_ tokens: [TokenID]) throws(CalibrationError) -> Double {
        do throws(EvaluationError) {
            return try Evaluator(model: model).evaluate(tokens, generate: 0).meanLoss
        } catch {
            throw .evaluation(error)
        }
    }

    private func train(
        _ samples: NeuronSamples, _ heldOut: NeuronSamples, _ algebra: LinearAlgebra
    ) throws(CalibrationError) -> [LayerPredictor] {
        let projection = try FirstProjection(path: model.path)
        let training = PredictorTraining(
            algebra: algebra, samples: samples, heldOut: heldOut, recall: recall,
            neuronBytes: neuronBytes)
        let ordering = NeuronOrder(algebra: algebra, neuronsPerBundle: neuronsPerBundle)
        var layers: [LayerPredictor] = []
        for layer in 0..<shape.layerCount {
            let weights = try projection.read(layer: layer)
            layers.append(
                try training.predictor(
                    layer: layer, weights: weights,
                    order: ordering.order(samples, layer: layer)))
            onProgress(0.4 + 0.55 * Double(layer + 1) / Double(shape.layerCount))
        }
        return layers
    }

    /// Thresholds, and what they mean for each layer.
    private func measure(
        _ layers: [LayerPredictor], _ heldOut: NeuronSamples, _ report: NeuronPredictors.Report
    ) throws(CalibrationError) -> NeuronPredictors {
        let empty = NeuronPredictors(
            width: shape.width, neuronsPerBundle: neuronsPerBundle, threshold: 1,
            thresholds: [Float](repeating: 1, count: NeuronPredictors.thresholdCount),
            report: report, layers: layers)
        var tallies: [BundleTally] = []
        do throws(SystemError) {
            var predictor = try NeuronPredictor(
                empty, tokensMax: 1, executor: model.transformer.executor,
                memory: Self.memory(NeuronPredictor.footprint(empty, tokensMax: 1)))
            for layer in layers.indices {
                tallies.append(try tally(&predictor, layer: layer, heldOut))
            }
        } catch {
            throw .system(error)
        }
        let all = tallies.reduce(into: BundleTally()) { $0.add($1) }
        let threshold = all.threshold(recall: recall)
        let hasGate = model.manifest.matrix(.feedForwardGate, layer: 0) != nil
        var measured = layers
        for index in layers.indices {
            measured[index].quality = tallies[index].quality(
                layers[index], threshold: threshold, neuronsPerBundle: neuronsPerBundle,
                width: shape.width, matrixCount: hasGate ? 3 : 2)
        }
        return NeuronPredictors(
            width: shape.width, neuronsPerBundle: neuronsPerBundle, threshold: threshold,
            thresholds: (0..<NeuronPredictors.thresholdCount).map {
                all.threshold(
                    recall: NeuronPredictors.recallFirst
                        + NeuronPredictors.recallStep * Float($0))
            }, report: report, layers: measured)
    }

    /// Calibration takes what it needs beside the model, whatever the model's limit: its samples
    /// are far more than this.
    private static func memory(_ byteCount: Int) throws(SystemError) -> MemoryReservation {
        do {
            return try MemoryLedger.unlimited().reserve(.calibration, byteCount)
        } catch {
            // ENOMEM, as the kernel would say it.
            throw SystemError("reserve", errorNumber: 12, subject: "\(error)")
        }
    }

    /// How likely bundles were thought, and how many of their neurons fired.
    private func tally(
        _ predictor: inout NeuronPredictor, layer: Int, _ heldOut: NeuronSamples
    ) throws(SystemError) -> BundleTally {
        var tally = BundleTally()
        let order = predictor.predictors.layers[layer].order
        let byteCount = ProductInput.footprint(tokensMax: 1, columnsMax: shape.width)
        let arena = try MemoryArena(byteCount: byteCount, of: Self.memory(byteCount))
        var input = ProductInput(tokensMax: 1, columnsMax: shape.width, in: arena)
        for token in heldOut.picked(layer, Self.talliedMax) {
            heldOut.copyInput(layer: layer, token: token, into: &input.floats)
            Kernels.best.prepare(
                &input, tokens: 1, columns: shape.width, team: model.transformer.executor.team)
            predictor.predict(layer: layer, input, tokens: 1)
            tally.tokens += 1
            for first in stride(from: 0, to: order.count, by: neuronsPerBundle) {
                let members = order[first..<min(first + neuronsPerBundle, order.count)]
                var (sum, fired): (Float, Int) = (0, 0)
                for neuron in members {
                    sum += predictor.probabilities[Int(neuron)]
                    if heldOut.fires(layer: layer, token: token, neuron: Int(neuron)) {
                        fired += 1
                    }
                }
                tally.add(sum: sum, fired: fired)
            }
        }
        return tally
    }

    /// Held-out tokens that thresholds are chosen with, at most.
    private static let talliedMax = 2048
}

/// Samples that a closure adds to.
private final class SampleBox {
    var samples: NeuronSamples
    init(_ samples: NeuronSamples) { self.samples = samples }
}
