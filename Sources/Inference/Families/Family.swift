// What distinguishes one model family from another: a description. The one forward pass reads it.

package import Compute
package import ModelFormat

/// The choices of a model family that its files do not spell out.
package struct Family: Sendable, Equatable {
    /// Where RMS norms stand between the query and key projections and the rotary embedding.
    package enum QueryKeyNorm: Sendable, Equatable {
        case none
        /// Over each head alone; weights are one head wide.
        case perHead
        /// Over all heads together; weights are as wide as the projection.
        case wholeProjection
    }

    package var rotaryPairing: RotaryPairing
    package var queryKeyNorm = QueryKeyNorm.none
    package var activation = Activation.silu
    /// Whether a token's expert weights are scaled to sum to one.
    package var normalizesExpertWeights = false

    package init(rotaryPairing: RotaryPairing) { self.rotaryPairing = rotaryPairing }

    /// The family of an architecture.
    package static func of(_ architecture: Architecture) -> Family {
        switch architecture {
        case .llama: .llama
        case .qwen2: .qwen2
        case .qwen3: .qwen3
        case .qwen2moe: .qwen2moe
        case .qwen3moe: .qwen3moe
        case .olmoe: .olmoe
        case .arcee: .arcee
        case .nemotron: .nemotron
        }
    }
}
