// Which experts each token uses, and how much each counts.

internal import ModelFormat

/// The experts of every token of a step, best first.
struct Routing: Sendable, Equatable {
    let expertsPerToken: Int
    /// T × used.
    var experts: [Int32] = []
    /// T × used.
    var weights: [Float] = []

    var tokenCount: Int { expertsPerToken == 0 ? 0 : experts.count / expertsPerToken }

    /// Every expert that any token uses, in ascending order.
    var demanded: [Int] { Array(Set(experts.map(Int.init))).sorted() }

    /// Where expert `number` is used: indices into ``experts``, that is `token * used + rank`.
    func places(of number: Int) -> [Int] {
        experts.indices.filter { experts[$0] == Int32(number) }
    }
}

/// Turns router logits into routing.
struct Router: Sendable {
    /// What a sum of weights is raised to before it divides, as llama.cpp does: the least normal
    /// 16-bit float.
    private static let weightSumMin: Float = 6.103515625e-5

    let shape: Experts
    let normalizes: Bool

    init(_ shape: Experts, _ family: Family) {
        self.shape = shape
        normalizes = shape.normalizesWeights ?? family.normalizesExpertWeights
    }

    /// Adds one token's experts to `routing`.
    ///
    /// - Parameter scores: the token's probabilities, one per expert.
    func choose(_ scores: Span<Float>, into routing: inout Routing) {
        let first = routing.weights.count
        var isChosen = [Bool](repeating: false, count: scores.count)
        for _ in 0..<shape.usedCount {
            let best = Self.largest(scores, isChosen)
            isChosen[best] = true
            routing.experts.append(Int32(best))
            routing.weights.append(scores[best])
        }
        if normalizes {
            let sum = routing.weights[first...].reduce(0, +)
            for index in routing.weights.indices[first...] {
                routing.weights[index] /= max(sum, Self.weightSumMin)
            }
        }
        for index in routing.weights.indices[first...] {
            routing.weights[index] *= shape.weightsScale
        }
    }

    /// The largest score not yet chosen, the lower index on a tie. Never fails, also not on NaN.
    private static func largest(_ scores: Span<Float>, _ isChosen: [Bool]) -> Int {
        var best: Int?
        for index in 0..<scores.count where !isChosen[index] {
            guard let current = best else {
                best = index
                continue
            }
            if scores[index] > scores[current] { best = index }
        }
        guard let best else { preconditionFailure("fewer experts than are used") }
        return best
    }
}
