// What predicted neurons cost in perplexity, measured as decoding chooses them: token by token,
// with a window of neurons in memory, prices of reads and a threshold that follows what is missed.

internal import Knobs
internal import Measurement
package import ModelFormat
package import Models
package import Weights

/// Measures predictors beside a packed file.
package struct DecodingQuality {
    /// Held-out tokens that are decoded, at most: one by one they take their time.
    static let tokensMax = 1024
    /// Tokens of a sequence; each begins from scratch.
    private static let windowTokens = 512

    private let path: String
    private let options: ModelOptions
    private let onProgress: (Double) -> Void

    /// - Parameters:
    ///   - path: the packed file; predictors are beside it.
    ///   - options: how it is opened. The limit is at most the one with which half of the weights'
    ///     bytes stay: how many neurons are in memory, and so computed anyway, follows from it.
    ///   - onProgress: told how far it is: 0...1.
    package init(path: String, options: ModelOptions, onProgress: @escaping (Double) -> Void) {
        self.path = path
        self.options = options
        self.onProgress = onProgress
    }

    /// Measures with the tokens of a calibration's text that it held out.
    ///
    /// - Returns: nil where the model cannot be decoded by predicted neurons under the limit.
    package func measure(
        calibratedWith tokens: [TokenID]
    ) throws(CalibrationError) -> NeuronPredictors.Decoding? {
        let heldOut = tokens.suffix(tokens.count / Calibrator.heldOutShare).prefix(Self.tokensMax)
        var options = options
        options.activationSparsity = nil
        options.isResident = false
        options.onNotice = { _ in }
        options.sparse = .off
        options.contextTokens = Self.windowTokens
        options.prefillChunkTokens = 16
        options.logitsRowsMax = 16
        let loss = try loss(heldOut, try open(options), progress: 0...0.2)
        options.sparse = .predicted
        options.prefillChunkTokens = 1
        options.logitsRowsMax = 1
        do throws(LoadError) {
            let half = try Ladder.halfBytes(
                path: path, wholeBytes: wholeBytes(), options: options)
            options.memoryBytesMax = min(options.memoryBytesMax ?? half, half)
        } catch {
            throw .load(error)
        }
        let model: ModelInstance
        do throws(LoadError) {
            model = try ModelInstance(path: path, options: options)
        } catch .budget {
            return nil
        } catch {
            throw .load(error)
        }
        guard model.plan.sparse?.mode == .predicted else { return nil }
        let predicted = try self.loss(heldOut, model, progress: 0.2...1)
        return NeuronPredictors.Decoding(
            tokens: heldOut.count, loss: Float(loss), predictedLoss: Float(predicted))
    }

    private func open(_ options: ModelOptions) throws(CalibrationError) -> ModelInstance {
        do throws(LoadError) {
            return try ModelInstance(path: path, options: options)
        } catch {
            throw .load(error)
        }
    }

    private func wholeBytes() throws(LoadError) -> Int {
        var options = options
        options.isResident = true
        return try ModelInstance.division(path: path, options: options).plan.denseBytes
    }

    /// The mean of all scored tokens.
    private func loss(
        _ tokens: ArraySlice<TokenID>, _ model: ModelInstance, progress: ClosedRange<Double>
    ) throws(CalibrationError) -> Double {
        model.pinComputingThread()
        var (sum, scored, start) = (0.0, 0, tokens.startIndex)
        while start < tokens.endIndex {
            let end = min(start + Self.windowTokens, tokens.endIndex)
            let found: Evaluation
            do throws(EvaluationError) {
                found = try Evaluator(model: model).evaluate(
                    Array(tokens[start..<end]), generate: 0)
            } catch {
                throw .evaluation(error)
            }
            sum += found.meanLoss * Double(found.scoredTokens)
            scored += found.scoredTokens
            start = end
            let share = Double(end - tokens.startIndex) / Double(tokens.count)
            onProgress(
                progress.lowerBound + (progress.upperBound - progress.lowerBound) * share)
        }
        return sum / Double(max(1, scored))
    }
}
