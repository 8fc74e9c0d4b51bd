// Which experts each token uses, and how much each counts.

internal import ModelFormat

/// The experts of every token of a step, best first, and the same sorted by expert.
///
/// Its arrays are kept from layer to layer.
struct Routing: Sendable {
    let expertCount: Int
    let expertsPerToken: Int
    /// T × used.
    private(set) var experts: [Int32] = []
    /// T × used.
    private(set) var weights: [Float] = []
    /// Every expert that any token uses, in ascending order.
    private(set) var demanded: [Int] = []
    /// T × used: where each token's experts' results are among all rows sorted by expert, then by
    /// token.
    private(set) var rows: [Int32] = []
    /// Of each of those rows, the token.
    private(set) var tokens: [Int32] = []
    /// Of each expert, the first of its rows; one more than there are experts.
    private var firstRows: [Int]
    private var isChosen: [Bool]

    init(expertCount: Int, expertsPerToken: Int, tokensMax: Int) {
        self.expertCount = expertCount
        self.expertsPerToken = expertsPerToken
        firstRows = Array(repeating: 0, count: expertCount + 1)
        isChosen = Array(repeating: false, count: expertCount)
        let places = tokensMax * expertsPerToken
        experts.reserveCapacity(places)
        weights.reserveCapacity(places)
        rows.reserveCapacity(places)
        tokens.reserveCapacity(places)
        demanded.reserveCapacity(expertCount)
    }

    /// The rows of expert `number`.
    func rows(of number: Int) -> Range<Int> { firstRows[number]..<firstRows[number + 1] }

    mutating func removeAll() {
        experts.removeAll(keepingCapacity: true)
        weights.removeAll(keepingCapacity: true)
    }

    /// Adds one token's best experts.
    ///
    /// - Parameter scores: one per expert. A tie goes to the lower number.
    mutating func choose(_ scores: Span<Float>) {
        for index in isChosen.indices { isChosen[index] = false }
        for _ in 0..<expertsPerToken {
            let best = largest(scores)
            isChosen[best] = true
            experts.append(Int32(best))
            weights.append(scores[best])
        }
    }

    /// Changes the weights of the token that was added last.
    mutating func changeLastWeights(_ body: (inout Float) -> Void) {
        for index in weights.count - expertsPerToken..<weights.count { body(&weights[index]) }
    }

    /// Sorts by expert what was chosen (counting sort).
    mutating func sort() {
        for index in firstRows.indices { firstRows[index] = 0 }
        for expert in experts { firstRows[Int(expert) + 1] += 1 }
        demanded.removeAll(keepingCapacity: true)
        for expert in 0..<expertCount {
            if firstRows[expert + 1] > 0 { demanded.append(expert) }
            firstRows[expert + 1] += firstRows[expert]
        }
        rows.removeAll(keepingCapacity: true)
        tokens.removeAll(keepingCapacity: true)
        for _ in experts { tokens.append(0) }
        for (place, expert) in experts.enumerated() {
            // Moves on with each row given out, and back below.
            let row = firstRows[Int(expert)]
            firstRows[Int(expert)] += 1
            rows.append(Int32(row))
            tokens[row] = Int32(place / expertsPerToken)
        }
        for expert in (1...expertCount).reversed() { firstRows[expert] = firstRows[expert - 1] }
        firstRows[0] = 0
    }

    /// The largest score not yet chosen, the lower index on a tie. Never fails, also not on NaN.
    private func largest(_ scores: Span<Float>) -> Int {
        guard var best = isChosen.firstIndex(of: false) else {
            preconditionFailure("fewer experts than are used")
        }
        for index in best + 1..<expertCount where scores[index] > scores[best] {
            if !isChosen[index] { best = index }
        }
        return best
    }
}

/// Turns router logits into routing.
struct Router: Sendable {
    /// What a sum of weights is raised to before it divides, as llama.cpp does: the least normal
    /// 16-bit float.
    private static let weightSumMin: Float = 6.103515625e-5

    let shape: MixtureShape
    /// Factor on weights, in the end.
    let scale: Float

    /// - Parameter scale: what the layer multiplies its sum with.
    init(_ shape: MixtureShape, scale: Float) {
        self.shape = shape
        self.scale = shape.weightsScale * scale
    }

    /// Adds one token's experts to `routing`.
    ///
    /// - Parameter scores: the token's probabilities, one per expert.
    func choose(_ scores: Span<Float>, into routing: inout Routing) {
        routing.choose(scores)
        // Of a softmax over all, the chosen ones' shares are a softmax over them.
        if shape.normalizesWeights || shape.gating == .softmaxOfChosen {
            let sum = max(routing.weights.suffix(shape.usedCount).reduce(0, +), Self.weightSumMin)
            routing.changeLastWeights { $0 /= sum }
        }
        let scale = scale
        routing.changeLastWeights { $0 *= scale }
    }
}

/// Chooses experts at random, each as likely as any other: the worst case for a cache, and what a
/// model with random weights does not reach by itself. The output means nothing.
package struct UniformRouting: Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// Replaces one token's scores.
    mutating func fill(_ scores: inout MutableSpan<Float>) {
        for index in scores.indices {
            // SplitMix64 (Steele, Lea, Flood 2014); the upper 24 bits are a float's.
            state &+= 0x9E37_79B9_7F4A_7C15
            var bits = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
            scores[index] = Float((bits ^ bits >> 31) >> 40) / Float(1 << 24)
        }
    }
}
