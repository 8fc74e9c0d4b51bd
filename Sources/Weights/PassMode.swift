// The ways of going over a model's weights.

/// How the present pass goes over the weights. Until the next pass begins it says what the ring is
/// laid out for.
enum PassMode: Equatable {
    /// Through all layers, and soon again: what every token needs. Neurons are fetched one by one
    /// where the plan has that.
    case cycle
    /// Through all layers, every neuron with them, where a cycle would fetch them one by one.
    case sweep
    /// Staying in each layer until all of a prompt's waves are computed. Weights that are needed
    /// last lend the ring their place.
    case stationary(LayerVisit)
}

/// A wave's visit to a layer, in a stationary pass.
struct LayerVisit: Equatable {
    /// Of what the pass streams, how much comes before the layer.
    var start = 0
    /// Whether no wave was in the layer before.
    var isFirst = true
    /// Whether no other one comes to it after.
    var isLast = true
}

extension PassMode {
    var isStationary: Bool {
        if case .stationary = self { true } else { false }
    }

    /// Whether the layer's weights were there for another wave before.
    var isRevisit: Bool {
        if case .stationary(let visit) = self { !visit.isFirst } else { false }
    }

    /// Whether another wave comes to the present layer before the next layer begins.
    var staysInLayer: Bool {
        if case .stationary(let visit) = self { !visit.isLast } else { false }
    }
}
