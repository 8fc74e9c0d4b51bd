// Which experts each token uses, and how much each counts.

internal import Compute
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
    /// Chosen already, or not to be chosen.
    private var isChosen: [Bool]
    /// What experts are chosen by, where those are not their scores.
    private var selection: [Float] = []
    private var groupScores: [Float] = []

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

    /// Adds one token's best experts, with their scores as weights.
    ///
    /// - Parameters:
    ///   - scores: one per expert. A tie goes to the lower number.
    ///   - rule: what besides decides.
    mutating func choose(_ scores: Span<Float>, by rule: SelectionRule) {
        for index in isChosen.indices { isChosen[index] = false }
        guard !rule.isPlain else { return takeLargest(of: scores, weights: scores) }
        selection.removeAll(keepingCapacity: true)
        for index in 0..<expertCount {
            selection.append(scores[index] + (rule.bias?[index] ?? 0))
        }
        if let groups = rule.groups { keepGroups(groups.used, of: groups.count) }
        let selection = selection
        takeLargest(of: selection.span, weights: scores)
    }

    private mutating func takeLargest(of selection: Span<Float>, weights scores: Span<Float>) {
        for _ in 0..<expertsPerToken {
            let best = largest(selection)
            isChosen[best] = true
            experts.append(Int32(best))
            weights.append(scores[best])
        }
    }

    /// Leaves experts of the best groups alone to be chosen: those whose two best ones' sum is
    /// largest (arXiv 2412.19437). A tie goes to the lower group.
    private mutating func keepGroups(_ usedCount: Int, of count: Int) {
        let size = expertCount / count
        groupScores.removeAll(keepingCapacity: true)
        for group in 0..<count {
            var (first, second) = (-Float.infinity, -Float.infinity)
            for value in selection[group * size..<(group + 1) * size] {
                if value > first {
                    (first, second) = (value, first)
                } else if value > second {
                    second = value
                }
            }
            groupScores.append(first + second)
        }
        for index in isChosen.indices { isChosen[index] = true }
        for _ in 0..<usedCount {
            var best = -1
            for group in 0..<count where isChosen[group * size] {
                if best < 0 || groupScores[group] > groupScores[best] { best = group }
            }
            for index in best * size..<(best + 1) * size { isChosen[index] = false }
        }
    }

    /// The weights of the token that was added last become the softmax of what they are.
    mutating func softmaxLastWeights(_ kernels: Kernels) {
        let count = expertsPerToken
        selection.removeAll(keepingCapacity: true)
        selection += weights.suffix(count)
        var span = selection.mutableSpan
        kernels.softmax(&span, count: count)
        weights.removeLast(count)
        weights += selection
    }

    /// Changes the weights of the token that was added last.
    mutating func changeLastWeights(_ body: (inout Float) -> Void) {
        for index in weights.count - expertsPerToken..<weights.count { body(&weights[index]) }
    }

    /// Multiplies the weights of the token that was added last by its experts' factors.
    mutating func scaleLastWeights(by factors: [Float]) {
        for index in weights.count - expertsPerToken..<weights.count {
            weights[index] *= factors[Int(experts[index])]
        }
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

/// By what experts are chosen besides their scores.
struct SelectionRule: Sendable {
    /// Added to scores; nil is none.
    let bias: [Float]?
    /// Groups of equally many experts, and those of them that are used; nil is no groups.
    let groups: (count: Int, used: Int)?

    init(_ shape: MixtureShape, bias: [Float]?) {
        self.bias = bias
        groups = shape.groupCount.map { ($0, shape.groupUsedCount ?? $0) }
    }

    /// Whether by nothing.
    var isPlain: Bool { bias == nil && groups == nil }
}

/// Turns router logits into routing.
struct Router: Sendable {
    /// What a sum of weights is raised to before it divides, as llama.cpp does: the least normal
    /// 16-bit float.
    private static let weightSumMin: Float = 6.103515625e-5

    let shape: MixtureShape
    let selection: SelectionRule
    /// Factor on weights, in the end.
    let scale: Float
    /// Of each expert, another one; nil is 1.
    let scales: [Float]?

    /// - Parameters:
    ///   - bias: added to what experts are chosen by.
    ///   - scale: what the layer multiplies its sum with.
    ///   - scales: what each expert's result is multiplied with.
    init(_ shape: MixtureShape, bias: [Float]?, scale: Float, scales: [Float]? = nil) {
        self.scales = scales
        self.shape = shape
        selection = SelectionRule(shape, bias: bias)
        self.scale = shape.weightsScale * scale
    }

    /// Whether logits as they are name the same experts as scores.
    var ranksByLogits: Bool { selection.isPlain || shape.gating == .softmaxOfChosen }

    /// A token's logits become scores.
    func score(_ logits: inout MutableSpan<Float>, _ kernels: Kernels) {
        switch shape.gating {
        case .softmax: kernels.softmax(&logits, count: shape.count)
        case .sigmoid: kernels.sigmoid(&logits, count: shape.count)
        case .softmaxOfChosen: break
        case .rootOfSoftplus: kernels.rootOfSoftplus(&logits, count: shape.count)
        }
    }

    /// Adds one token's experts to `routing`.
    ///
    /// - Parameter scores: the token's, one per expert.
    func choose(_ scores: Span<Float>, into routing: inout Routing, _ kernels: Kernels) {
        routing.choose(scores, by: selection)
        if shape.gating == .softmaxOfChosen { routing.softmaxLastWeights(kernels) }
        if shape.normalizesWeights {
            let sum = max(routing.weights.suffix(shape.usedCount).reduce(0, +), Self.weightSumMin)
            routing.changeLastWeights { $0 /= sum }
        }
        let scale = scale
        routing.changeLastWeights { $0 *= scale }
        if let scales { routing.scaleLastWeights(by: scales) }
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
