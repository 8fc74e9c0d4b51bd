// Arcee: squared ReLU without a gate.

internal import Compute
internal import ModelFormat

extension Family {
    /// Arcee AFM: Llama's attention, and a feed-forward network without a gate whose activation is
    /// the squared ReLU.
    static var arcee: Family {
        var family = Family(rotaryPairing: .adjacent)
        family.activation = Architecture.arcee.activation
        return family
    }
}
