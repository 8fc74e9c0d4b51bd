// Which sampling parameters make sense. Clients choose them, so nothing here traps.

/// A sampling parameter that is out of range: which, and what it must be.
package struct SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The parameters by the names that requests use.
    package enum Parameter: String, Sendable, CaseIterable {
        case temperature
        case topK = "top_k"
        case topP = "top_p"
        case minP = "min_p"
        case repetitionPenalty = "repetition_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case penaltyWindow = "penalty_window"
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
    /// The longest penalty window: it is counted for every token.
    package static let penaltyWindowMax = 4096

    /// These parameters, once each is known to be in range.
    ///
    /// - Throws: ``SamplingError`` naming the first that is not. NaN is never in range.
    package func validated() throws(SamplingError) -> SamplingParameters {
        try Self.require(temperature, in: 0...100, .temperature, "between 0 and 100")
        guard topK >= 0 else { throw SamplingError(.topK, "0 or more") }
        try Self.require(topP, in: 0...1, .topP, "between 0 and 1")
        try Self.require(minP, in: 0...1, .minP, "between 0 and 1")
        try Self.require(
            repetitionPenalty, in: 0.01...100, .repetitionPenalty, "between 0.01 and 100")
        try Self.require(presencePenalty, in: -100...100, .presencePenalty, "between -100 and 100")
        try Self.require(
            frequencyPenalty, in: -100...100, .frequencyPenalty, "between -100 and 100")
        guard (0...Self.penaltyWindowMax).contains(penaltyWindow) else {
            throw SamplingError(.penaltyWindow, "between 0 and \(Self.penaltyWindowMax)")
        }
        return self
    }

    /// Whether any penalty changes a logit.
    package var penalizes: Bool {
        penaltyWindow > 0
            && (repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0)
    }

    private static func require(
        _ value: Float, in range: ClosedRange<Float>, _ parameter: SamplingError.Parameter,
        _ requirement: String
    ) throws(SamplingError) {
        guard range.contains(value) else { throw SamplingError(parameter, requirement) }
    }
}
