// Everything between the products: every set of kernels against the scalar one, and the scalar one
// against double precision.

import CKernels
import Compute
import Glibc
import ModelFormat
import TestSupport
import Testing

/// Runs `body` on a copy of `x` with each set of kernels; all results must have the same bits.
private func everySet(
    _ x: [Float], _ comment: String, _ body: (Kernels, inout MutableSpan<Float>) -> Void
) -> [Float] {
    var expected: [Float] = []
    for kernels in Kernels.available {
        var copy = x
        var span = copy.mutableSpan
        body(kernels, &span)
        if expected.isEmpty { expected = copy }
        #expect(differences(expected, copy).isEmpty, "\(kernels.name) \(comment)")
    }
    return expected
}

struct ElementTests {
    private static let counts = [1, 5, 16, 33, 128, 301, 2048]

    @Test func exponentialIsWithinTwoUnitsInTheLastPlace() {
        var worst = 0.0
        for step in 0..<400_000 {
            let x = -103 + Float(step) * (191.7 / 400_000)
            let exact = exp(Double(x))
            let found = ckernels_exp(x)
            let unit = max(Double(Float(exact).ulp), Double(Float.leastNonzeroMagnitude))
            worst = max(worst, abs(Double(found) - exact) / unit)
        }
        #expect(worst <= 2, "worst error \(worst) units")
        #expect(ckernels_exp(0) == 1 && ckernels_exp(-0.0) == 1)
        #expect(ckernels_exp(-.infinity) == 0 && ckernels_exp(-104) == 0)
        #expect(ckernels_exp(.infinity) == .infinity && ckernels_exp(88.73) == .infinity)
        #expect(ckernels_exp(88.72) < .infinity)
        #expect(ckernels_exp(-103.2) == .leastNonzeroMagnitude)
        #expect(ckernels_exp(.nan).isNaN)
    }

    private static func exact(_ activation: Activation, _ x: Double) -> Double {
        switch activation {
        case .silu: x / (1 + exp(-x))
        case .gelu: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .relu: max(x, 0)
        case .relu2: max(x, 0) * max(x, 0)
        case .swigluOAI: .nan
        }
    }

    @Test(arguments: Activation.ofAnyNetwork)
    func activationsMatchDoublePrecision(activation: Activation) {
        let x = (0..<20001).map { Float($0 - 10000) * 0.0031 }
        let y = everySet(x, activation.rawValue) { $0.activate(activation, &$1, count: x.count) }
        for index in x.indices {
            let exact = Self.exact(activation, Double(x[index]))
            let bound = 2e-6 * max(abs(exact), 1e-3)
            #expect(abs(Double(y[index]) - exact) <= bound, "\(activation) of \(x[index])")
        }
    }

    @Test(arguments: Activation.ofAnyNetwork)
    func activationsHaveTheirLimits(activation: Activation) {
        let x: [Float] = [
            -.infinity, .infinity, .nan, -1e30, 1e18, 0, -.leastNonzeroMagnitude, -200, -88
        ]
        let y = everySet(x, activation.rawValue) { $0.activate(activation, &$1, count: x.count) }
        #expect(y[0] == 0 && y[1] == .infinity && y[2].isNaN && y[3] == 0 && y[5] == 0)
        #expect(y[4] == (activation == .relu2 ? 1e36 : 1e18))
        #expect(abs(y[6]) <= .leastNonzeroMagnitude && abs(y[7]) < 1e-30 && abs(y[8]) < 1e-30)
    }

    @Test func gatedActivationsMultiply() {
        var random = SplitMix(seed: 0x53_0001)
        for activation in Activation.ofAnyNetwork {
            for nature in Nature.allCases {
                for count in Self.counts {
                    let gate = random.floats(count, nature)
                    let up = random.floats(count, nature)
                    let found = everySet(gate, "\(activation) \(nature) \(count)") {
                        $0.activate(
                            activation, gate: gate.span, up: up.span, into: &$1, count: count)
                    }
                    let alone = everySet(gate, "\(activation) \(nature) \(count)") {
                        $0.activate(activation, &$1, count: count)
                    }
                    #expect(differences(found, zip(alone, up).map { $0 * $1 }).isEmpty)
                }
            }
        }
    }

    /// Both factors, each with its bounds, and their limits.
    @Test func boundedSwiGLUMatchesDoublePrecision() {
        var random = SplitMix(seed: 0x53_0009)
        let limits: [Float] = [-.infinity, .infinity, .nan, 7, -7, 1e30, -1e30, 0, -0]
        let gate = random.floats(400, .ordinary).map { $0 * 6 } + limits
        let up = random.floats(400, .ordinary).map { $0 * 6 } + limits.reversed()
        let found = everySet(gate, "bounded") {
            $0.activate(.swigluOAI, gate: gate.span, up: up.span, into: &$1, count: gate.count)
        }
        for index in 0..<400 {
            let g = min(Double(gate[index]), 7)
            let u = min(max(Double(up[index]), -7), 7)
            let exact = g / (1 + exp(-1.702 * g)) * (u + 1)
            #expect(abs(Double(found[index]) - exact) <= 3e-6 * max(abs(exact), 1e-2))
        }
        #expect(found[400] == 0 && found[402].isNaN && found[403] == found[405])
        #expect(found[406].isNaN && found[407] == 0)
    }

    @Test func softCapsMatchDoublePrecision() {
        let x = (0..<4001).map { Float($0 - 2000) * 0.1 }
        for cap in [Float(5), 30, 50] {
            let y = everySet(x, "\(cap)") { kernels, span in kernels.softCap(&span, cap) }
            for index in x.indices {
                let exact = Double(cap) * tanh(Double(x[index]) / Double(cap))
                #expect(abs(Double(y[index]) - exact) <= Double(cap) * 0x1p-21)
            }
            let limits = everySet([-.infinity, .infinity, .nan, 1e38], "limits") {
                $0.softCap(&$1, cap)
            }
            #expect(Array(limits[..<2]) == [-cap, cap] && limits[2].isNaN && limits[3] == cap)
        }
    }

    @Test func gatesOfHeadsAndElements() {
        let x: [Float] = [-100, -3, 0, 0.5, 19, 25, .infinity, .nan]
        let y = everySet(x, "softplus") { $0.softplus(&$1, count: x.count) }
        for index in 0..<6 {
            let exact = log1p(exp(Double(x[index])))
            #expect(abs(Double(y[index]) - exact) <= 1e-6 * max(exact, 1e-30))
        }
        #expect(y[6] == .infinity && y[7].isNaN)
        let rows: [Float] = [1, 2, 3, 4, 5, 6]
        let heads = everySet(rows, "heads") {
            $0.multiply(rowsOf: &$1, width: 3, by: [2, -1].span, rows: 2)
        }
        #expect(heads == [2, 4, 6, -4, -5, -6])
        let elements = everySet(rows, "elements") {
            $0.multiply(rowsOf: &$1, width: 1, by: [1, 0, 2, 0, 3, 0].span, rows: 6)
        }
        #expect(elements == [1, 0, 6, 0, 15, 0])
    }

    @Test func sumsAreFusedAndBiasesAdded() {
        var random = SplitMix(seed: 0x53_0002)
        for nature in Nature.allCases {
            for count in Self.counts {
                let (x, y) = (random.floats(count, nature), random.floats(3 * count, nature))
                let sum = everySet(y, "\(nature) \(count)") {
                    $0.add(x.span, scale: 0.7, to: &$1, count: count)
                }
                let expected = y.indices.map { index in
                    index < count ? y[index].addingProduct(0.7, x[index]) : y[index]
                }
                #expect(differences(sum, expected).isEmpty)
                let biased = everySet(y, "\(nature) \(count)") {
                    $0.add(bias: x.span, toRowsOf: &$1, rows: 3)
                }
                #expect(differences(biased, y.indices.map { y[$0] + x[$0 % count] }).isEmpty)
            }
        }
    }

    @Test func normsAgreeAndAreRight() {
        var random = SplitMix(seed: 0x53_0003)
        for nature in Nature.allCases {
            for columns in Self.counts {
                let x = random.floats(3 * columns, nature)
                let weights = random.floats(columns, .ordinary)
                let norm = Norm(weights: weights, epsilon: 1e-5)
                let y = normalized(x, by: norm, "\(nature) \(columns)")
                guard nature == .ordinary else { continue }
                for row in 0..<3 {
                    let line = x[row * columns..<(row + 1) * columns].map(Double.init)
                    let mean = line.reduce(0) { $0 + $1 * $1 } / Double(columns)
                    for column in 0..<columns {
                        let exact =
                            line[column] / (mean + 1e-5).squareRoot() * Double(weights[column])
                        let found = Double(y[row * columns + column])
                        let relative = (Double(columns) / 32 + 6) * 0x1p-24
                        #expect(abs(found - exact) <= relative * abs(exact) + 1e-38)
                    }
                }
            }
        }
    }

    @Test func layerNormsAgreeAndAreRight() {
        var random = SplitMix(seed: 0x53_0005)
        var checked = 0
        for nature in Nature.allCases {
            for columns in Self.counts {
                // Far from 0, so that the mean matters.
                let x = random.floats(3 * columns, nature).map { $0 + 4 }
                let norm = Norm(
                    weights: random.floats(columns, .ordinary),
                    bias: random.floats(columns, .ordinary), epsilon: 1e-5)
                let y = normalized(x, by: norm, "\(nature) \(columns)")
                guard nature == .ordinary else { continue }
                for row in 0..<3 {
                    checked += checkLayerNorm(
                        Array(x[row * columns..<(row + 1) * columns]), norm,
                        Array(y[row * columns..<(row + 1) * columns]))
                }
            }
        }
        #expect(checked > 1_000)
    }

    /// All sets' norm of three rows, into others and in place.
    private func normalized(_ x: [Float], by norm: Norm, _ what: String) -> [Float] {
        let y = everySet([Float](repeating: 0, count: x.count), what) {
            $0.normalize(x.span, rows: 3, by: norm, into: &$1)
        }
        let inPlace = everySet(x, what) { $0.normalizeInPlace(&$1, rows: 3, by: norm) }
        #expect(differences(y, inPlace).isEmpty)
        return y
    }

    /// Compares a row with exact arithmetic where ckernels.h promises a bound; returns how many
    /// elements that were.
    private func checkLayerNorm(_ x: [Float], _ norm: Norm, _ y: [Float]) -> Int {
        let (line, columns) = (x.map(Double.init), Double(x.count))
        let mean = line.reduce(0, +) / columns
        let variance = line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / columns
        let factor = 1 / (variance + Double(norm.epsilon)).squareRoot()
        let largest = line.map(abs).max() ?? 0
        let rounding = (columns / 16 + 8) * 0x1p-24
        guard let bias = norm.bias, rounding * largest * factor < 0x1p-10 else { return 0 }
        for column in x.indices {
            let weight = Double(norm.weights[column])
            let deviation = (line[column] - mean) * factor
            let exact = deviation * weight + Double(bias[column])
            let bound = (2 * largest * factor + abs(deviation)) * abs(weight) + abs(exact)
            #expect(abs(Double(y[column]) - exact) <= rounding * bound + 1e-38)
        }
        return x.count
    }

    @Test func rotationsAgreeAndAreRight() {
        var random = SplitMix(seed: 0x53_0004)
        let (tokens, heads) = (3, 2)
        for (width, rotated) in [(64, 64), (80, 32), (16, 6), (2, 2)] {
            let pairs = rotated / 2
            let angles = (0..<tokens * pairs).map { _ in Double.random(in: -3...3, using: &random) }
            let (cosines, sines) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
            for (pairing, nature) in [
                (RotaryPairing.adjacent, Nature.ordinary), (.halves, .ordinary),
                (.adjacent, .anyBits), (.halves, .denormal)
            ] {
                let x = random.floats(tokens * heads * width, nature)
                let y = everySet(x, "\(pairing) \(width)") {
                    $0.rotate(
                        &$1, tokens: tokens, heads: heads, headWidth: width, rotatedWidth: rotated,
                        cosines: cosines.span, sines: sines.span, pairing: pairing)
                }
                guard nature == .ordinary else { continue }
                for index in 0..<tokens * heads {
                    for pair in 0..<pairs {
                        let angle = index / heads * pairs + pair
                        let (cosine, sine) = (Double(cosines[angle]), Double(sines[angle]))
                        let a = index * width + (pairing == .halves ? pair : 2 * pair)
                        let b = a + (pairing == .halves ? pairs : 1)
                        let (first, second) = (Double(x[a]), Double(x[b]))
                        let bound = 3 * 0x1p-24 * (abs(first) + abs(second))
                        #expect(abs(Double(y[a]) - (first * cosine - second * sine)) <= bound)
                        #expect(abs(Double(y[b]) - (first * sine + second * cosine)) <= bound)
                    }
                    for rest in index * width + rotated..<(index + 1) * width {
                        #expect(y[rest] == x[rest])
                    }
                }
            }
        }
    }

    @Test func softmaxAgreesAndIsRight() {
        var random = SplitMix(seed: 0x53_0005)
        for nature in Nature.allCases {
            for count in Self.counts {
                let x = random.floats(count, nature)
                let y = everySet(x, "\(nature) \(count)") { $0.softmax(&$1, count: count) }
                guard nature != .anyBits else { continue }
                let largest = Double(x.max() ?? 0)
                let sum = x.reduce(0) { $0 + exp(Double($1) - largest) }
                for index in x.indices {
                    let exact = exp(Double(x[index]) - largest) / sum
                    // Subtracting the largest rounds in proportion to the difference.
                    let relative = 1e-6 + 0x1p-24 * (largest - Double(x[index]))
                    #expect(abs(Double(y[index]) - exact) <= relative * exact + 1e-38)
                }
            }
        }
        let masked: [Float] = [-.infinity, 1000, 1000, -.infinity]
        #expect(everySet(masked, "masked") { $0.softmax(&$1, count: 4) } == [0, 0.5, 0.5, 0])
        let poisoned: [Float] = [1, .nan, 2]
        let spoiled = everySet(poisoned, "NaN") { $0.softmax(&$1, count: 3) }
        #expect(spoiled.allSatisfy { $0.isNaN })
    }

    @Test func rootOfSoftplusIsRight() {
        var x = (0..<20_001).map { Float($0 - 10_000) * 0.0087 }
        let exact = x.map { log1p(exp(Double($0))).squareRoot() }
        var span = x.mutableSpan
        Kernels.best.rootOfSoftplus(&span, count: exact.count)
        for (found, exact) in zip(x, exact) {
            #expect(abs(Double(found) - exact) <= 1e-6 * exact)
        }
        var limits: [Float] = [.infinity, -.infinity, .nan, 200]
        var ends = limits.mutableSpan
        Kernels.best.rootOfSoftplus(&ends, count: 4)
        #expect(limits[0] == .infinity && limits[1] == 0 && limits[2].isNaN)
        #expect(limits[3] == Float(200).squareRoot())
    }

    @Test func sigmoidAgreesAndIsRight() {
        var random = SplitMix(seed: 0x53_0006)
        for nature in Nature.allCases {
            let x = random.floats(301, nature)
            let y = everySet(x, "\(nature)") { $0.sigmoid(&$1, count: x.count) }
            guard nature != .anyBits else { continue }
            for index in x.indices {
                let exact = 1 / (1 + exp(-Double(x[index])))
                #expect(abs(Double(y[index]) - exact) <= 1e-6 * exact + 1e-38)
            }
        }
        let limits: [Float] = [-.infinity, .infinity, .nan]
        let y = everySet(limits, "limits") { $0.sigmoid(&$1, count: 3) }
        #expect(y[0] == 0 && y[1] == 1 && y[2].isNaN)
    }

    @Test func halvesRoundToNearestEven() {
        var random = SplitMix(seed: 0x53_0007)
        let edges: [Float] = [
            65504, 65519.996, 65520, 65536, 1e30, .infinity, -.infinity, .nan, 0, -0.0, 0x1p-24,
            0x1p-25, 0x1.000002p-25, 0x1.8p-24, 0x1.ffcp-15, 0x1.ffep-15, 0x1.fffp-15,
            1.00048828125,
            1.00146484375
        ]
        var x = edges + random.floats(500, .denormal)
        x += (0..<20000).map { _ in
            Float(bitPattern: UInt32.random(in: 0x3280_0000...0x4790_0000, using: &random))
        }
        for kernels in Kernels.available {
            var bytes = [UInt8](repeating: 0xEE, count: 2 * x.count + 6)
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            kernels.storeHalf(x.span, into: &raw, at: 3)
            let found = halves(Array(bytes[3..<3 + 2 * x.count]))
            #expect(differences(found, x.map { Float(Float16($0)) }).isEmpty, "\(kernels.name)")
            #expect(bytes.prefix(3).allSatisfy { $0 == 0xEE })
            #expect(bytes.suffix(3).allSatisfy { $0 == 0xEE })
        }
    }
}
