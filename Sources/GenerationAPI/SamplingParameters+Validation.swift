// Which sampling parameters make sense: the one table of ranges, for samplers, requests, profiles
// and options. Clients choose them, so nothing here traps.

/// A sampling parameter that is out of range: which, and what it must be.
package struct SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The parameters by the names that requests use. Profiles call the window `penalty_window`.
    package enum Parameter: String, Sendable, CaseIterable {
        case temperature
        case topK = "top_k"
        case topP = "top_p"
        case minP = "min_p"
        case repetitionPenalty = "repeat_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case penaltyWindow = "repeat_last_n"
    }

    package let parameter: Parameter
    /// "between 0 and 1", for instance.
    package let requirement: String

    package init(_ parameter: Parameter, _ requirement: String) {
        self.parameter = parameter
        self.requirement = requirement
    }

    package var description: String { "\(parameter.rawValue) must be \(requirement)" }
}

extension SamplingParameters {
    /// A parameter that is a number, and what it may be.
    package struct NumberField: Sendable {
        package let parameter: SamplingError.Parameter
        package let keyPath: any WritableKeyPath<SamplingParameters, Float> & Sendable
        package let range: ClosedRange<Float>
    }

    package static let numbers = [
        NumberField(parameter: .temperature, keyPath: \.temperature, range: 0...100),
        NumberField(parameter: .topP, keyPath: \.topP, range: 0...1),
        NumberField(parameter: .minP, keyPath: \.minP, range: 0...1),
        NumberField(
            parameter: .repetitionPenalty, keyPath: \.repetitionPenalty, range: 0.01...100),
        NumberField(parameter: .presencePenalty, keyPath: \.presencePenalty, range: -100...100),
        NumberField(parameter: .frequencyPenalty, keyPath: \.frequencyPenalty, range: -100...100)
    ]

    /// 0 and -1, which other servers' clients send, keep all; so does what exceeds the vocabulary.
    package static let topKRange = -1...Int.max
    /// -1 is the context; what exceeds the context means the same.
    package static let penaltyWindowRange = -1...Int.max

    /// These parameters, once each is known to be in range.
    ///
    /// - Throws: ``SamplingError`` naming the first that is not. NaN is never in range.
    package func validated() throws(SamplingError) -> SamplingParameters {
        for field in Self.numbers {
            let range = field.range
            guard range.contains(self[keyPath: field.keyPath]) else {
                throw SamplingError(field.parameter, Self.requirement(range))
            }
        }
        guard Self.topKRange.contains(topK) else { throw SamplingError(.topK, "-1 or more") }
        guard Self.penaltyWindowRange.contains(penaltyWindow) else {
            throw SamplingError(.penaltyWindow, "-1 or more")
        }
        return self
    }

    /// "between 0 and 1", for instance.
    package static func requirement(_ range: ClosedRange<Float>) -> String {
        func text(_ value: Float) -> String {
            value == value.rounded() ? "\(Int(value))" : "\(value)"
        }
        return "between \(text(range.lowerBound)) and \(text(range.upperBound))"
    }

    /// These parameters where no more than `contextTokens` can ever be looked back at: the window
    /// takes memory, and time with each token.
    package func bounded(contextTokens: Int) -> SamplingParameters {
        var bounded = self
        if penaltyWindow < 0 || penaltyWindow > contextTokens {
            bounded.penaltyWindow = contextTokens
        }
        return bounded
    }

    /// Whether any penalty changes a logit.
    package var penalizes: Bool {
        penaltyWindow != 0
            && (repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0)
    }
}
