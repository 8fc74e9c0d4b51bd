// One layer's predictor, in closed form. A neuron fires when its row of the first projection times
// the input is above 0, so what must be predicted is a matrix product; the best approximation of
// that product by r numbers of the input, for inputs distributed as those of the samples, is the
// singular value decomposition of W · C^(1/2), where C is the inputs' covariance (reduced-rank
// regression, Izenman 1975). Its coordinates come in the order of what they tell, and are kept in
// fewer bits the less they tell. What remains is taken for normally distributed noise, neuron by
// neuron, which makes probabilities of firing.

package import Weights

package struct PredictorTraining {
    let algebra: LinearAlgebra
    let samples: NeuronSamples
    let heldOut: NeuronSamples
    /// The recall at which candidates are compared.
    let recall: Float
    /// Bytes of a neuron's weights.
    let neuronBytes: Int

    /// Samples that candidates are fitted and compared with.
    private static let comparedMax = 1024
    /// Bytes of a predictor that are worth a byte read per token.
    private static let bytesPerReadByte = 2
    /// Of covariances, added to each of their eigenvalues as a share of the mean one.
    private static let ridge: Float = 1e-4
    /// sigmoid(1.702 x) is the normal distribution function of x within 0.01.
    private static let probitSlope: Float = 1.702

    /// Ranks that are tried, as eighths of the width.
    private static let eighths = [(1, 1), (1, 2), (1, 3), (2, 2), (2, 4), (2, 6)]

    package init(
        algebra: LinearAlgebra, samples: NeuronSamples, heldOut: NeuronSamples, recall: Float,
        neuronBytes: Int
    ) {
        self.algebra = algebra
        self.samples = samples
        self.heldOut = heldOut
        self.recall = recall
        self.neuronBytes = neuronBytes
    }

    /// The predictor of `layer`, whose first projection is `weights`; its quality is still unknown.
    package func predictor(
        layer: Int, weights: Matrix, order: [UInt32]
    ) throws(CalibrationError) -> LayerPredictor {
        let counts = samples.fireCounts(layer: layer)
        guard counts.contains(where: { $0 > 0 }) else { throw .neverFires(layer: layer) }
        let factors = try factors(layer: layer, weights)
        let best = compare(layer: layer, weights, factors)
        let tokens = max(1, samples.tokenCount(layer: layer))
        return LayerPredictor(
            neuronCount: weights.rows, fineRank: best.fine.columns,
            coarseRank: best.coarse.columns, offsets: best.offsets,
            fineEncoder: best.fineEncoder.tiles, coarseEncoder: best.coarseEncoder.tiles,
            tiles: ScoreTileWriter(
                fine: best.fine, coarse: best.coarse, factors: best.factors, biases: best.biases
            ).tiles(), order: order,
            frequencies: counts.map { UInt16($0 * 65535 / tokens) },
            quality: LayerPredictor.Quality())
    }

    /// W · x is about weights · mean + decoder · encoder · (x - mean), coordinates in the order of
    /// what they tell, the decoder's columns of unit mean square.
    struct Factors {
        var mean: [Float]
        /// Rank × width.
        var encoder: Matrix
        /// Neurons × rank.
        var decoder: Matrix
    }

    private func factors(layer: Int, _ weights: Matrix) throws(CalibrationError) -> Factors {
        var inputs = samples.inputs(layer: layer)
        let width = inputs.columns
        var mean = [Float](repeating: 0, count: width)
        for row in 0..<inputs.rows {
            for (column, value) in inputs.row(row).enumerated() { mean[column] += value }
        }
        for column in 0..<width { mean[column] /= Float(max(1, inputs.rows)) }
        for row in 0..<inputs.rows {
            for column in 0..<width { inputs[row, column] -= mean[column] }
        }
        let covariance = algebra.multiply(inputs, inputs, transposing: .first)
        let (spread, directions) = try algebra.eigen(covariance)
        let floor = Self.ridge * spread.reduce(0) { $0 + max($1, 0) } / Float(width)
        guard floor > 0 else { throw .noConvergence }
        let count = Float(max(1, inputs.rows))
        let roots = spread.map { ((max($0, 0) + floor) / count).squareRoot() }
        var whitened = algebra.multiply(weights, directions, transposing: .second)
        whitened.scaleColumns(roots)
        let gram = algebra.multiply(whitened, whitened, transposing: .first)
        var rotation = try algebra.eigen(gram).vectors
        var decoder = algebra.multiply(whitened, rotation, transposing: .second)
        rotation.scaleColumns(roots.map { 1 / $0 })
        var encoder = algebra.multiply(rotation, directions)
        let sizes = Self.columnSizes(decoder)
        decoder.scaleColumns(sizes.map { $0 > 0 ? 1 / $0 : 0 })
        for row in 0..<encoder.rows {
            for column in 0..<width { encoder[row, column] *= sizes[row] }
        }
        return Factors(mean: mean, encoder: encoder, decoder: decoder)
    }

    /// The root mean square of each column.
    private static func columnSizes(_ matrix: Matrix) -> [Float] {
        var squares = [Float](repeating: 0, count: matrix.columns)
        for row in 0..<matrix.rows {
            for (column, value) in matrix.row(row).enumerated() { squares[column] += value * value }
        }
        return squares.map { ($0 / Float(max(1, matrix.rows))).squareRoot() }
    }

    /// A predictor of certain ranks, in the bits that are stored.
    private struct Candidate {
        let fine: CodedRows
        let coarse: CodedRows
        let fineEncoder: EncodedRows
        let coarseEncoder: EncodedRows
        var offsets: [Float] = []
        var factors: [Float] = []
        var biases: [Float] = []

        init(_ from: Factors, fine fineRank: Int, coarse coarseRank: Int) {
            let rank = fineRank + coarseRank
            fine = CodedRows(from.decoder, columns: 0..<fineRank, bits: 4)
            coarse = CodedRows(from.decoder, columns: fineRank..<rank, bits: 2)
            fineEncoder = EncodedRows(
                from.encoder, rows: 0..<fineRank, format: LayerPredictor.fineFormat)
            coarseEncoder = EncodedRows(
                from.encoder, rows: fineRank..<rank, format: LayerPredictor.coarseFormat)
            offsets = (0..<rank).map { row in
                zip(encoderRow(row), from.mean).reduce(0) { $0 + $1.0 * $1.1 }
            }
        }

        private func encoderRow(_ row: Int) -> ArraySlice<Float> {
            row < fine.columns
                ? fineEncoder.values.row(row) : coarseEncoder.values.row(row - fine.columns)
        }

        /// The decoder times each row's code: rows × neurons.
        func approximate(_ inputs: Matrix, neurons: Int, _ algebra: LinearAlgebra) -> Matrix {
            let rank = fine.columns + coarse.columns
            let encoder = Matrix(
                rows: rank, columns: inputs.columns,
                values: fineEncoder.values.values + coarseEncoder.values.values)
            var codes = algebra.multiply(inputs, encoder, transposing: .second)
            for row in 0..<codes.rows {
                for column in 0..<rank { codes[row, column] -= offsets[column] }
            }
            var decoder = Matrix(rows: neurons, columns: rank)
            fine.decode(into: &decoder, at: 0)
            coarse.decode(into: &decoder, at: fine.columns)
            return algebra.multiply(codes, decoder, transposing: .second)
        }
    }

    /// The candidate that makes a token's reads and its own memory cheapest together.
    private func compare(layer: Int, _ weights: Matrix, _ from: Factors) -> Candidate {
        let inputs = samples.inputs(layer: layer, upTo: Self.comparedMax)
        let projections = algebra.multiply(inputs, weights, transposing: .second)
        var best: (candidate: Candidate, bytes: Int)?
        for ranks in Self.ranks(width: inputs.columns) {
            var candidate = Candidate(from, fine: ranks.fine, coarse: ranks.coarse)
            fit(&candidate, inputs, projections)
            let share = fetchedShare(candidate, layer: layer, neurons: weights.rows)
            let size =
                ranks.fine * inputs.columns * 34 / 32 + ranks.coarse * inputs.columns * 18 / 32
                + LayerPredictor.tilesBytes(
                    neurons: weights.rows, fineRank: ranks.fine, coarseRank: ranks.coarse)
            let bytes =
                Int(share * Float(weights.rows * neuronBytes)) + size / Self.bytesPerReadByte
            if best.map({ bytes < $0.bytes }) ?? true { best = (candidate, bytes) }
        }
        guard let best else { preconditionFailure("there are always ranks to try") }
        return best.candidate
    }

    /// Multiples of 32, at most `width` together.
    static func ranks(width: Int) -> [(fine: Int, coarse: Int)] {
        func rounded(_ eighths: Int) -> Int { max(32, width * eighths / 8 / 32 * 32) }
        let all = eighths.map { (fine: rounded($0.0), coarse: rounded($0.1)) }
        let fitting = all.filter { $0.fine + $0.coarse <= width }
        return fitting.isEmpty ? [(fine: min(32, width), coarse: 0)] : fitting
    }

    /// Sets what makes log-odds of the approximation: the mean and the spread of what it misses.
    private func fit(_ candidate: inout Candidate, _ inputs: Matrix, _ projections: Matrix) {
        let neurons = projections.columns
        let found = candidate.approximate(inputs, neurons: neurons, algebra)
        let count = Float(max(1, found.rows))
        var (sums, squares) = (
            [Float](repeating: 0, count: neurons), [Float](repeating: 0, count: neurons)
        )
        for row in 0..<found.rows {
            for neuron in 0..<neurons {
                let miss = projections[row, neuron] - found[row, neuron]
                sums[neuron] += miss
                squares[neuron] += miss * miss
            }
        }
        candidate.factors = []
        candidate.biases = []
        for neuron in 0..<neurons {
            let mean = sums[neuron] / count
            let variance = max(squares[neuron] / count - mean * mean, 1e-12)
            let factor = Self.probitSlope / variance.squareRoot()
            candidate.factors.append(factor)
            candidate.biases.append(mean * factor)
        }
    }

    /// The share of neurons whose probability is at least that at which ``recall`` is reached.
    private func fetchedShare(_ candidate: Candidate, layer: Int, neurons: Int) -> Float {
        let picked = heldOut.picked(layer, Self.comparedMax)
        let inputs = heldOut.inputs(layer: layer, upTo: Self.comparedMax)
        let found = candidate.approximate(inputs, neurons: neurons, algebra)
        var ofFiring: [Float] = []
        var all: [Float] = []
        all.reserveCapacity(found.values.count)
        for (row, token) in picked.enumerated() {
            for neuron in 0..<neurons {
                let odds =
                    found[row, neuron] * candidate.factors[neuron] + candidate.biases[neuron]
                all.append(odds)
                if heldOut.fires(layer: layer, token: token, neuron: neuron) {
                    ofFiring.append(odds)
                }
            }
        }
        guard !ofFiring.isEmpty else { return 0 }
        ofFiring.sort(by: >)
        let last = min(ofFiring.count - 1, Int(recall * Float(ofFiring.count)))
        let least = ofFiring[last]
        return Float(all.count { $0 >= least }) / Float(max(1, all.count))
    }
}
