// Networks by the neuron through the safe face: every set and number of threads against the
// definition, written down here once more. Tests/CrossKernels compares the C kernels in detail.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

struct NeuronTests {
    struct Shape {
        var neurons: Int
        var width: Int
        var tokens: Int
        /// Weaker neurons are silent.
        var threshold: Float
    }

    /// Rows of up, then a column of floats; some bytes before each record's column.
    struct Network {
        let shape: Shape
        let first: [Float]
        let input: [Float]
        let up: [Float]
        let columns: [Float]

        init(_ shape: Shape, _ random: inout SplitMix) {
            self.shape = shape
            first = random.floats(shape.tokens * shape.neurons, .ordinary).map { $0 - 1 }
            input = random.floats(shape.tokens * shape.width, .ordinary)
            up = random.floats(shape.neurons * shape.width, .ordinary)
            columns = random.floats(shape.neurons * shape.width, .ordinary)
        }

        private func fires(_ first: Float) -> Bool { first > 0 && first >= shape.threshold }

        /// Element by element, in the order of neurons.
        var expected: [Float] {
            let (width, neurons) = (shape.width, shape.neurons)
            var y = [Float](repeating: 0, count: shape.tokens * width)
            for token in 0..<shape.tokens {
                for neuron in 0..<neurons where fires(first[token * neurons + neuron]) {
                    var dot: Float = 0
                    for column in 0..<width {
                        dot.addProduct(up[neuron * width + column], input[token * width + column])
                    }
                    let value = first[token * neurons + neuron] * dot
                    guard value != 0 else { continue }
                    for element in 0..<width {
                        y[token * width + element].addProduct(
                            value, columns[neuron * width + element])
                    }
                }
            }
            return y
        }

        func computed(_ kernels: Kernels, team: ComputeTeam) throws -> [Float] {
            let (width, neurons, tokens) = (shape.width, shape.neurons, shape.tokens)
            let arena = try MemoryArena(byteCount: 8 << 20)
            var batch = NeuronBatch(neuronsMax: neurons, tokensMax: tokens, in: arena)
            var hidden = Buffer<Float>(count: tokens * neurons, in: arena)
            var values = Buffer<Float>(count: tokens * neurons, in: arena)
            var products = Buffer<Float>(count: 64 * neurons, in: arena)
            var y = Buffer<Float>(count: tokens * width, in: arena)
            for index in first.indices { hidden[index] = first[index] }
            let records = (0..<neurons).map { neuron in
                let range = neuron * width..<(neuron + 1) * width
                return (up[range] + columns[range]).flatMap { littleEndian($0.bitPattern) }
            }
            let input = try ProductInput.holding(
                input, tokens: tokens, columns: width, kernels: kernels)
            kernels.fire(
                .relu, &hidden, tokens: tokens, neurons: neurons, roundsTo8Bits: false,
                threshold: shape.threshold, values: &values, &batch, team: team)
            // In two parts, as extents come.
            for range in [0..<neurons / 3, neurons / 3..<neurons] {
                for group in 0..<batch.groupCount {
                    batch.list(group: group, in: range)
                    for index in 0..<batch.count {
                        let record = records[batch.neuron(index)]
                        unsafe batch.setRecord(index, record.span.bytes)
                    }
                    kernels.multiplyListed(
                        &batch, format: .f32, columns: width, by: input, products: &products,
                        values: &values, team: team)
                    kernels.addListed(
                        batch, format: .f32, width: width, recordOffset: 4 * width, scales: nil,
                        values: values, to: &y, team: team)
                }
            }
            return withExtendedLifetime(records) { (0..<y.count).map { y[$0] } }
        }
    }

    @Test(arguments: [1, 2, 64, 65, 130]) func equalsTheDefinition(tokens: Int) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        for (neurons, width, threshold) in [(7, 5, 0), (70, 96, Float(0.4)), (600, 130, 0.1)] {
            let network = Network(
                Shape(neurons: neurons, width: width, tokens: tokens, threshold: threshold),
                &random)
            let expected = network.expected
            for kernels in Kernels.available {
                for threads in [1, 3] {
                    let found = try network.computed(
                        kernels, team: ComputeTeam(memberCount: threads))
                    #expect(
                        differences(expected, found).isEmpty,
                        "\(kernels.name), \(neurons) x \(width), seed \(seed)")
                }
            }
        }
    }

    /// First projections of some neurons alone, each with its bias where there are any.
    @Test(arguments: [false, true]) func listedNeuronsFire(hasBiases: Bool) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        let (neurons, width) = (90, 96)
        let rows = random.floats(neurons * width, .ordinary)
        let x = random.floats(width, .ordinary)
        let biases = hasBiases ? random.floats(neurons, .ordinary).map { 20 * $0 - 10 } : []
        let listed = (0..<Int32(neurons)).filter { $0 % 3 != 1 }
        let records = (0..<neurons).map { neuron in
            rows[neuron * width..<(neuron + 1) * width].flatMap { littleEndian($0.bitPattern) }
        }
        for kernels in Kernels.available {
            let arena = try MemoryArena(byteCount: 1 << 20)
            var batch = NeuronBatch(neuronsMax: neurons, tokensMax: 1, in: arena)
            var values = Buffer<Float>(count: neurons, in: arena)
            var products = Buffer<Float>(count: neurons, in: arena)
            let input = try ProductInput.holding(x, tokens: 1, columns: width, kernels: kernels)
            batch.begin(neurons: neurons)
            batch.list(listed[...])
            for index in 0..<batch.count {
                let record = records[batch.neuron(index)]
                unsafe batch.setRecord(index, record.span.bytes)
            }
            kernels.fireListed(
                &batch, .relu, format: .f32, columns: width, by: input, bias: biases,
                products: &products, values: &values, team: ComputeTeam(memberCount: 2))
            for neuron in listed.map(Int.init) {
                var sum: Float = 0
                for column in 0..<width { sum.addProduct(rows[neuron * width + column], x[column]) }
                let expected = max(0, sum + (hasBiases ? biases[neuron] : 0))
                #expect(abs(values[neuron] - expected) <= 1e-4, "\(kernels.name), seed \(seed)")
                #expect(batch.fires(neuron) == (values[neuron] != 0))
            }
        }
        withExtendedLifetime(records) {}
    }

    /// Whatever the sign; what is no number stays, and is somebody's to see.
    @Test func weakNeuronsBecomeZero() throws {
        let arena = try MemoryArena(byteCount: 1 << 20)
        let x: [Float] = [0.5, -0.5, 0.49, -0.49, 0, .nan, .infinity, -3]
        for kernels in Kernels.available {
            var y = x
            var span = y.mutableSpan
            kernels.activate(.silu, &span, count: x.count)
            let threshold: Float = 0.15
            var batch = NeuronBatch(neuronsMax: x.count, tokensMax: 1, in: arena)
            var hidden = Buffer<Float>(count: x.count, in: arena)
            var values = Buffer<Float>(count: x.count, in: arena)
            for index in x.indices { hidden[index] = x[index] }
            kernels.fire(
                .silu, &hidden, tokens: 1, neurons: x.count, roundsTo8Bits: false,
                threshold: threshold, values: &values, &batch, team: alone)
            for index in x.indices {
                let isWeak = abs(y[index]) < threshold
                #expect(values[index].bitPattern == (isWeak ? 0 : y[index]).bitPattern)
                #expect(batch.fires(index) == (!isWeak && y[index] != 0))
            }
            #expect(y.contains { -threshold < $0 && $0 < 0 })
        }
    }

    @Test func roundedToEightBitsAsProductsRound() throws {
        let arena = try MemoryArena(byteCount: 1 << 20)
        var random = SplitMix(seed: 11)
        let x = random.floats(2 * 64, .ordinary)
        for kernels in Kernels.available {
            var batch = NeuronBatch(neuronsMax: 64, tokensMax: 2, in: arena)
            var hidden = Buffer<Float>(count: 128, in: arena)
            var values = Buffer<Float>(count: 128, in: arena)
            for index in x.indices { hidden[index] = x[index] }
            kernels.fire(
                .relu2, &hidden, tokens: 2, neurons: 64, roundsTo8Bits: true, values: &values,
                &batch, team: alone)
            for token in 0..<2 {
                for block in 0..<2 {
                    let range = token * 64 + block * 32..<token * 64 + block * 32 + 32
                    let exact = x[range].map { $0 > 0 ? $0 * $0 : 0 }
                    let step = (exact.max() ?? 0) / 127
                    for (index, value) in exact.enumerated() {
                        let found = values[(block * 32 + index) * 2 + token]
                        #expect(abs(found - value) <= step * 0.6, "\(kernels.name)")
                    }
                }
            }
            for neuron in 0..<64 {
                let fires = values[neuron * 2] != 0 || values[neuron * 2 + 1] != 0
                #expect(batch.fires(neuron) == fires)
            }
        }
    }
}
