// What a run of the model shows of its neurons: for some tokens, spread over the whole text, each
// layer's input as halves and which neurons fired as bits. Bounded: more tokens are thinned out.

package import LinuxSystem

/// Samples of every layer, in order of time.
package struct NeuronSamples {
    /// Bytes that all samples take, at most.
    static let bytesMax = 256 << 20
    static let tokensMax = 8192

    package let width: Int
    package let neuronCount: Int
    let stride: Int
    private let expectedCount: Int
    private(set) var layers: [Layer]
    /// Tokens that each layer has seen.
    private var seen: [Int]

    struct Layer {
        var inputs: [Float16] = []
        /// `wordsPerToken` words for each token.
        var fired: [UInt64] = []
    }

    /// - Parameters:
    ///   - tokenCount: tokens that will be seen.
    package init(layerCount: Int, width: Int, neuronCount: Int, tokenCount: Int) {
        self.width = width
        self.neuronCount = neuronCount
        let bytesPerToken = layerCount * (2 * width + neuronCount / 8)
        let room = max(64, min(Self.tokensMax, Self.bytesMax / max(1, bytesPerToken)))
        stride = max(1, (tokenCount + room - 1) / room)
        expectedCount = (tokenCount + stride - 1) / stride
        layers = [Layer](repeating: Layer(), count: layerCount)
        seen = [Int](repeating: 0, count: layerCount)
    }

    private var wordsPerToken: Int { (neuronCount + 63) / 64 }
    package func tokenCount(layer: Int) -> Int { layers[layer].inputs.count / width }

    /// Adds a step of `tokens` tokens: their inputs and their first projections, which fire above
    /// 0.
    package mutating func add(
        layer: Int, inputs: Span<Float>, projections: Span<Float>, tokens: Int
    ) {
        layers[layer].inputs.reserve(tokens * width, of: expectedCount * width)
        layers[layer].fired.reserve(
            tokens * wordsPerToken, of: expectedCount * wordsPerToken)
        for token in 0..<tokens {
            defer { seen[layer] += 1 }
            guard seen[layer] % stride == 0 else { continue }
            for column in 0..<width {
                layers[layer].inputs.append(Float16(inputs[token * width + column]))
            }
            for word in 0..<wordsPerToken {
                var bits: UInt64 = 0
                for bit in 0..<min(64, neuronCount - 64 * word)
                where projections[token * neuronCount + 64 * word + bit] > 0 {
                    bits |= 1 << UInt64(bit)
                }
                layers[layer].fired.append(bits)
            }
        }
    }

    /// Up to `count` of a layer's inputs, spread over all, a row each.
    func inputs(layer: Int, upTo count: Int = .max) -> Matrix {
        let picked = self.picked(layer, count)
        var values: [Float] = []
        values.reserveCapacity(picked.count * width)
        for token in picked {
            for column in 0..<width {
                values.append(Float(layers[layer].inputs[token * width + column]))
            }
        }
        return Matrix(rows: picked.count, columns: width, values: values)
    }

    /// The tokens that ``inputs(layer:upTo:)`` picks.
    func picked(_ layer: Int, _ count: Int = .max) -> [Int] {
        let all = tokenCount(layer: layer)
        guard all > count else { return Array(0..<all) }
        return (0..<count).map { $0 * all / count }
    }

    /// One sampled input.
    package func copyInput(layer: Int, token: Int, into row: inout Buffer<Float>) {
        var values = row.mutableSpan(in: 0..<width)
        for column in 0..<width {
            values[column] = Float(layers[layer].inputs[token * width + column])
        }
    }

    package func fires(layer: Int, token: Int, neuron: Int) -> Bool {
        layers[layer].fired[token * wordsPerToken + neuron / 64] >> UInt64(neuron % 64) & 1 == 1
    }

    /// For how many tokens each neuron fired.
    func fireCounts(layer: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: neuronCount)
        for (index, word) in layers[layer].fired.enumerated() where word != 0 {
            var bits = word
            while bits != 0 {
                counts[index % wordsPerToken * 64 + bits.trailingZeroBitCount] += 1
                bits &= bits - 1
            }
        }
        return counts
    }
}

extension Array {
    /// Room for `count` elements at the first of several additions.
    fileprivate mutating func reserve(_ addition: Int, of count: Int) {
        if isEmpty { reserveCapacity(Swift.max(addition, count)) }
    }
}
