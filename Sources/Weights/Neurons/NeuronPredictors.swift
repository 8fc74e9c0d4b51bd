// What calibration learned about a model's neurons, as values: for each layer a low-rank predictor
// of which neurons fire, and an order in which neurons that fire together are neighbours. Made by
// `sluice calibrate`; NeuronPredictors+File.swift reads and writes it.

internal import LinuxSystem
package import ModelFormat

/// Predictors for every layer of one model.
package struct NeuronPredictors: Sendable, Equatable {
    /// Of recalls that ``thresholds`` are for: 0.80, 0.81 ... 0.99.
    package static let recallFirst: Float = 0.8
    package static let recallStep: Float = 0.01
    package static let thresholdCount = 20

    /// Elements of a predictor's input: the feed-forward network's, normed.
    package let width: Int
    /// Neurons that lie side by side in ``LayerPredictor/order``: those that one read brings.
    package let neuronsPerBundle: Int
    /// A bundle is fetched when the probabilities of those of its neurons that are not in memory
    /// sum to this or more: chosen on the held-out tokens.
    package let threshold: Float
    /// The same for the recalls 0.80 ... 0.99, all layers together.
    package let thresholds: [Float]
    /// What was measured on the held-out tokens.
    package var report: Report
    package let layers: [LayerPredictor]

    /// Where a packed file's predictors are kept: beside it.
    package static func path(of packed: String) -> String { packed + ".predictors" }

    package init(
        width: Int, neuronsPerBundle: Int, threshold: Float, thresholds: [Float], report: Report,
        layers: [LayerPredictor]
    ) {
        self.width = width
        self.neuronsPerBundle = neuronsPerBundle
        self.threshold = threshold
        self.thresholds = thresholds
        self.report = report
        self.layers = layers
    }

    /// Bytes that the layers' predictors take in memory.
    package var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
    package var neuronsMax: Int { layers.map(\.neuronCount).max() ?? 0 }
    package var rankMax: Int { layers.map(\.rank).max() ?? 0 }

    /// How good they are.
    package struct Report: Sendable, Equatable {
        /// Tokens that weights were learned from, and others, at the text's end, that ranks and
        /// thresholds were chosen with and that everything was measured with.
        package var tokens = 0
        package var heldOutTokens = 0
        package var recallTarget: Float = 0
        /// Mean negative natural-log likelihood of the held-out tokens, all neurons computed.
        package var loss: Float = 0
        /// What predicting costs; nil where nobody measured it, as in files of version 1.
        package var decoding: Decoding?

        package init() {}
    }

    /// The same tokens with all neurons and as predicted mode decodes them, one by one: with its
    /// threshold that follows what is missed, its prices of reads, and who is in memory.
    package struct Decoding: Sendable, Equatable {
        package let tokens: Int
        /// Mean negative natural-log likelihoods.
        package let loss: Float
        package let predictedLoss: Float

        package init(tokens: Int, loss: Float, predictedLoss: Float) {
            self.tokens = tokens
            self.loss = loss
            self.predictedLoss = predictedLoss
        }

        /// By what share perplexity is higher than with all neurons; below 0 where it is lower.
        package var perplexityLoss: Double {
            Mathematics.exponential(Double(predictedLoss) - Double(loss)) - 1
        }
    }
}

/// One layer's predictor: a code of the network's input, z = encoder · x - offsets, and for each
/// neuron its log-odds as a product with that code (`ckernels_scores`).
package struct LayerPredictor: Sendable, Equatable {
    /// Formats of the encoder's rows for coordinates that meet 4-bit and 2-bit codes.
    package static let fineFormat = WeightFormat.q8_0
    package static let coarseFormat = WeightFormat.q4_0

    package let neuronCount: Int
    /// Coordinates of the code, most telling first: those that meet 4-bit codes, then 2-bit ones.
    package let fineRank: Int
    package let coarseRank: Int
    /// `rank` elements.
    package let offsets: [Float]
    /// `fineRank` rows in tiles.
    package let fineEncoder: [UInt8]
    /// `coarseRank` rows in tiles.
    package let coarseEncoder: [UInt8]
    /// Codes, steps and biases in tiles of 16 neurons.
    package let tiles: [UInt8]
    /// Neurons in the order in which bundles should hold them.
    package let order: [UInt32]
    /// How often each neuron fired, in 65535ths of all tokens.
    package let frequencies: [UInt16]
    package var quality: Quality

    package init(
        neuronCount: Int, fineRank: Int, coarseRank: Int, offsets: [Float],
        fineEncoder: [UInt8], coarseEncoder: [UInt8], tiles: [UInt8], order: [UInt32],
        frequencies: [UInt16], quality: Quality
    ) {
        self.neuronCount = neuronCount
        self.fineRank = fineRank
        self.coarseRank = coarseRank
        self.offsets = offsets
        self.fineEncoder = fineEncoder
        self.coarseEncoder = coarseEncoder
        self.tiles = tiles
        self.order = order
        self.frequencies = frequencies
        self.quality = quality
    }

    package var rank: Int { fineRank + coarseRank }
    package var byteCount: Int {
        offsets.count * 4 + fineEncoder.count + coarseEncoder.count + tiles.count
            + order.count * 4 + frequencies.count * 2
    }

    /// Bytes of 16 neurons' codes: 4 bits and 2 bits a coordinate, two steps and a bias.
    package static func tileBytes(fineRank: Int, coarseRank: Int) -> Int {
        WeightFormat.tileRows * (fineRank / 2 + coarseRank / 4 + 8)
    }

    package static func tilesBytes(neurons: Int, fineRank: Int, coarseRank: Int) -> Int {
        (neurons + WeightFormat.tileRows - 1) / WeightFormat.tileRows
            * tileBytes(fineRank: fineRank, coarseRank: coarseRank)
    }

    /// Measured on the held-out tokens that threshold and rank were chosen with, without any
    /// neurons in memory.
    package struct Quality: Sendable, Equatable {
        /// The share of neurons that fire.
        package var density: Float = 0
        /// Of neurons that fire, those that were fetched.
        package var recall: Float = 0
        /// Of neurons that were fetched, those that fire.
        package var precision: Float = 0
        /// Of bundles, those that were fetched.
        package var fetchedShare: Float = 0
        /// The predictor's multiplications over the network's.
        package var costShare: Float = 0

        package init() {}
    }
}
