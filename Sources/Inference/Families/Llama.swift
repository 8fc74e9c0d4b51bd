// Llama and what has its shape.

internal import Compute

extension Family {
    /// Llama 1 to 3 and everything in its shape: Mistral, and Mixtral with its experts, whose
    /// weights sum to one.
    static var llama: Family {
        var family = Family(rotaryPairing: .adjacent)
        family.normalizesExpertWeights = true
        return family
    }
}
