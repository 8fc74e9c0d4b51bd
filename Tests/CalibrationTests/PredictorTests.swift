// Predictors of made-up neurons, whose firing is known to depend on little; the order of neurons
// that fire together; and a trained model.

import Calibration
import Compute
import Inference
import LinuxSystem
import TestSupport
import Testing
import Weights

@Suite struct PredictorTests {
    /// Neurons that look at `rank` directions of inputs of `width`, and fire seldom.
    private struct World {
        let width = 128
        let neurons = 200
        let rank = 6
        let weights: Matrix
        var random: SplitMix

        init(seed: UInt64) {
            let (width, neurons, rank) = (width, neurons, rank)
            var source = SplitMix(seed: seed)
            func normal(_ random: inout SplitMix) -> Float {
                (0..<6).reduce(0) { sum, _ in sum + Float.random(in: -1...1, using: &random) } / 1.4
            }
            let directions = (0..<rank * width).map { _ in normal(&source) / 11 }
            var values: [Float] = []
            for _ in 0..<neurons {
                let mix = (0..<rank).map { _ in normal(&source) }
                for column in 0..<width {
                    var sum = (0..<rank).reduce(Float(0)) {
                        $0 + mix[$1] * directions[$1 * width + column]
                    }
                    // The last input is always 1 and keeps neurons silent.
                    if column == width - 1 { sum = -3.5 }
                    values.append(sum)
                }
            }
            weights = Matrix(rows: neurons, columns: width, values: values)
            random = source
        }

        mutating func input() -> [Float] {
            var values = (0..<width).map { _ in
                (0..<6).reduce(Float(0)) { sum, _ in
                    sum + Float.random(in: -1...1, using: &random)
                }
            }
            values[width - 1] = 1
            return values
        }

        func projections(_ input: [Float]) -> [Float] {
            (0..<neurons).map { neuron in
                zip(weights.values[neuron * width..<(neuron + 1) * width], input)
                    .reduce(0) { $0 + $1.0 * $1.1 }
            }
        }

        mutating func samples(_ tokens: Int) -> NeuronSamples {
            var samples = NeuronSamples(
                layerCount: 1, width: width, neuronCount: neurons, tokenCount: tokens)
            for _ in 0..<tokens {
                let input = input()
                samples.add(
                    layer: 0, inputs: input.span, projections: projections(input).span, tokens: 1)
            }
            return samples
        }
    }

    /// 32 coordinates in 4 bits tell which neurons of rank 7 fire.
    @Test func aLowRankProblemIsLearned() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var world = World(seed: seed)
        let (samples, heldOut) = (world.samples(1500), world.samples(400))
        let training = PredictorTraining(
            algebra: try LinearAlgebra(threads: 1), samples: samples, heldOut: heldOut,
            recall: 0.95, neuronBytes: 300)
        let layer = try training.predictor(
            layer: 0, weights: world.weights, order: (0..<UInt32(world.neurons)).map { $0 })
        let team = ComputeTeam(memberCount: 1)
        var predictor = try NeuronPredictor(
            Self.predictors(layer, width: world.width), tokensMax: 1,
            executor: Executor(kernels: .best, team: team),
            memory: try .unlimited(16 << 20))
        let arena = try MemoryArena(
            byteCount: ProductInput.footprint(tokensMax: 1, columnsMax: world.width))
        var input = ProductInput(tokensMax: 1, columnsMax: world.width, in: arena)
        var (fired, found, fetched) = (0, 0, 0)
        for _ in 0..<300 {
            let values = world.input()
            for (index, value) in values.enumerated() { input.floats[index] = value }
            Kernels.best.prepare(&input, tokens: 1, columns: world.width, team: team)
            predictor.predict(layer: 0, input, tokens: 1)
            for (neuron, projection) in world.projections(values).enumerated() {
                let isPredicted = predictor.probabilities[neuron] >= 0.25
                fired += projection > 0 ? 1 : 0
                found += projection > 0 && isPredicted ? 1 : 0
                fetched += isPredicted ? 1 : 0
            }
        }
        #expect(fired > 300, "the problem is one: seed \(seed)")
        #expect(Double(found) >= 0.9 * Double(fired), "\(found) of \(fired), seed \(seed)")
        #expect(Double(fetched) <= 1.5 * Double(fired), "\(fetched) for \(fired), seed \(seed)")
    }

    @Test func bundlesAreChosenByTheirSumAndWithoutResidents() throws {
        var world = World(seed: 1)
        let (samples, heldOut) = (world.samples(600), world.samples(200))
        let training = PredictorTraining(
            algebra: try LinearAlgebra(threads: 1), samples: samples, heldOut: heldOut,
            recall: 0.95, neuronBytes: 300)
        var random = SplitMix(seed: 2)
        let order = (0..<UInt32(world.neurons)).shuffled(using: &random)
        let layer = try training.predictor(layer: 0, weights: world.weights, order: order)
        let team = ComputeTeam(memberCount: 1)
        var predictor = try NeuronPredictor(
            Self.predictors(layer, width: world.width), tokensMax: 2,
            executor: Executor(kernels: .best, team: team),
            memory: try .unlimited(16 << 20))
        let arena = try MemoryArena(
            byteCount: ProductInput.footprint(tokensMax: 2, columnsMax: world.width))
        var input = ProductInput(tokensMax: 2, columnsMax: world.width, in: arena)
        for (index, value) in (world.input() + world.input()).enumerated() {
            input.floats[index] = value
        }
        Kernels.best.prepare(&input, tokens: 2, columns: world.width, team: team)
        predictor.predict(layer: 0, input, tokens: 2)
        let isResident = (0..<world.neurons).map { $0 % 3 == 0 }
        for token in 0..<2 {
            for residents in [nil, isResident] {
                var expected: [Int32] = []
                for (bundle, first) in stride(from: 0, to: order.count, by: 3).enumerated() {
                    var sum: Float = 0
                    for neuron in order[first..<min(first + 3, order.count)]
                    where residents?[Int(neuron)] != true {
                        sum += predictor.probabilities[token * world.neurons + Int(neuron)]
                    }
                    if sum >= 0.1 { expected.append(Int32(bundle)) }
                }
                var found: [Int32] = [-1]
                if let residents {
                    predictor.chooseBundles(
                        token: token, threshold: 0.1, isResident: residents.span, into: &found)
                } else {
                    predictor.chooseBundles(
                        token: token, threshold: 0.1, isResident: nil, into: &found)
                }
                #expect(found == expected)
            }
        }
        #expect(Array(predictor.neurons(ofBundle: 66)) == Array(order[198...]))
    }

    /// Neurons of the same third fire together; the order finds the thirds again.
    @Test func neuronsThatFireTogetherAreNeighbours() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        let neurons = 60
        let groups = (0..<neurons).shuffled(using: &random)
        var samples = NeuronSamples(
            layerCount: 1, width: 32, neuronCount: neurons, tokenCount: 800)
        for _ in 0..<800 {
            var projections = [Float](repeating: -1, count: neurons)
            let group = Int.random(in: 0..<20, using: &random)
            for place in 3 * group..<3 * group + 3 { projections[groups[place]] = 1 }
            projections[Int.random(in: 0..<neurons, using: &random)] = 1
            let input = [Float](repeating: 0, count: 32)
            samples.add(layer: 0, inputs: input.span, projections: projections.span, tokens: 1)
        }
        let order = NeuronOrder(algebra: try LinearAlgebra(threads: 1), neuronsPerBundle: 3)
            .order(samples, layer: 0)
        #expect(order.sorted() == (0..<UInt32(neurons)).map { $0 }, "seed \(seed)")
        let expected = Set(
            (0..<20).map { group in Set(groups[3 * group..<3 * group + 3].map { UInt32($0) }) })
        let found = Set((0..<20).map { Set(order[3 * $0..<3 * $0 + 3]) })
        #expect(found == expected, "seed \(seed)")
    }

    /// More tokens than there is room for are thinned out evenly.
    @Test func samplesAreBounded() throws {
        var samples = NeuronSamples(
            layerCount: 1, width: 32, neuronCount: 70, tokenCount: 20_000)
        for token in 0..<20_000 {
            let input = [Float](repeating: Float(token % 512), count: 32)
            let projections = (0..<70).map { Float($0 == token % 70 ? 1 : -1) }
            samples.add(layer: 0, inputs: input.span, projections: projections.span, tokens: 1)
        }
        #expect((4000...8192).contains(samples.tokenCount(layer: 0)))
        let arena = try MemoryArena(byteCount: Buffer<Float>.footprint(count: 32))
        var row = Buffer<Float>(count: 32, in: arena)
        for sample in [0, 1, 100] {
            samples.copyInput(layer: 0, token: sample, into: &row)
            let token = sample * 3
            #expect(row[31] == Float(token % 512))
            for neuron in 0..<70 {
                #expect(
                    samples.fires(layer: 0, token: sample, neuron: neuron)
                        == (neuron == token % 70))
            }
        }
    }

    @Test func eigenvectorsAreThose() throws {
        let algebra = try LinearAlgebra(threads: 1)
        let matrix = Matrix(rows: 3, columns: 3, values: [2, 1, 0, 1, 2, 0, 0, 0, 7])
        let (values, vectors) = try algebra.eigen(matrix)
        #expect(zip(values, [7, 3, 1]).allSatisfy { abs($0 - $1) < 1e-5 })
        let turned = algebra.multiply(vectors, matrix)
        for row in 0..<3 {
            for column in 0..<3 {
                #expect(abs(turned[row, column] - values[row] * vectors[row, column]) < 1e-5)
            }
        }
        let nowhere = Matrix(rows: 2, columns: 2, values: [.nan, 1, 1, .nan])
        #expect(throws: CalibrationError.self) { _ = try algebra.eigen(nowhere) }
    }

    private static func predictors(_ layer: LayerPredictor, width: Int) -> NeuronPredictors {
        NeuronPredictors(
            width: width, neuronsPerBundle: 3, threshold: 0.1,
            thresholds: [Float](repeating: 0.1, count: NeuronPredictors.thresholdCount),
            report: NeuronPredictors.Report(), layers: [layer])
    }
}
