// The exponential, the logarithm and the random numbers that sampling uses, made of nothing but
// IEEE 754 basic operations, so that the same logits and seed give the same text on every machine:
// a C library's exp differs in the last bit between versions and processors.

/// Exponential and natural logarithm in double precision, within a few units in the last place.
package enum PortableMath {
    // 32 bits of log(2): an exponent times them is exact.
    private static let logarithmOfTwoHigh = 0x1.62e42feep-1
    private static let logarithmOfTwoLow = 0x1.a39ef35793c76p-33
    private static let inverseLogarithmOfTwo = 0x1.71547652b82fep0

    /// e to the power of `x`; 0 below -700 (where a probability no longer matters) and for NaN,
    /// infinity above 700.
    package static func exponential(_ x: Double) -> Double {
        guard x >= -700 else { return 0 }
        guard x <= 700 else { return .infinity }
        let exponent = (x * inverseLogarithmOfTwo).rounded()
        let high = x - exponent * logarithmOfTwoHigh
        let rest = high - exponent * logarithmOfTwoLow  // |rest| <= log(2) / 2
        // The Taylor series to the 13th power; the next term is below 5e-18.
        var sum = 1 / 6_227_020_800.0
        sum = sum * rest + 1 / 479_001_600.0
        sum = sum * rest + 1 / 39_916_800.0
        sum = sum * rest + 1 / 3_628_800.0
        sum = sum * rest + 1 / 362_880.0
        sum = sum * rest + 1 / 40_320.0
        sum = sum * rest + 1 / 5_040.0
        sum = sum * rest + 1 / 720.0
        sum = sum * rest + 1 / 120.0
        sum = sum * rest + 1 / 24.0
        sum = sum * rest + 1 / 6.0
        sum = sum * rest + 1 / 2.0
        sum = sum * rest + 1
        sum = sum * rest + 1
        return Double(sign: .plus, exponent: Int(exponent), significand: sum)
    }

    /// The natural logarithm of a positive, finite, normal number.
    package static func naturalLogarithm(_ x: Double) -> Double {
        precondition(x.isNormal && x > 0, "a logarithm needs a positive number")
        var exponent = Double(x.exponent)
        var significand = x.significand  // [1, 2)
        if significand > 1.4142135623730951 {
            significand /= 2
            exponent += 1
        }
        // log(m) = 2 atanh((m - 1) / (m + 1)), |ratio| < 0.172
        let ratio = (significand - 1) / (significand + 1)
        let square = ratio * ratio
        var sum = 0.0
        for term in stride(from: 23.0, to: 0.0, by: -2.0) {
            sum = 1.0 / term + square * sum
        }
        return exponent * logarithmOfTwoHigh
            + (exponent * logarithmOfTwoLow + 2 * ratio * sum)
    }
}

/// xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM
/// TOMS 2021), its state filled by SplitMix64 as its authors advise.
package struct SamplerRandom: RandomNumberGenerator, Sendable, Equatable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    package init(seed: UInt64) {
        var mixer = seed
        state = (
            Self.splitMix(&mixer), Self.splitMix(&mixer), Self.splitMix(&mixer),
            Self.splitMix(&mixer)
        )
    }

    /// The generator in a given state; not all zero.
    package init(state: (UInt64, UInt64, UInt64, UInt64)) {
        precondition(state != (0, 0, 0, 0), "an all-zero state stays zero")
        self.state = state
    }

    package mutating func next() -> UInt64 {
        let result = Self.rotated(state.1 &* 5, by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = Self.rotated(state.3, by: 45)
        return result
    }

    /// A multiple of 2^-53 in [0, 1), every one equally likely.
    package mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    package static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    private static func rotated(_ value: UInt64, by count: UInt64) -> UInt64 {
        (value << count) | (value >> (64 - count))
    }

    package static func == (left: SamplerRandom, right: SamplerRandom) -> Bool {
        left.state == right.state
    }
}
