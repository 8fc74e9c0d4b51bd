// Recording which experts a run's tokens choose.

internal import Inference
internal import ModelFormat
internal import Models

extension ModelInstance {
    /// The shape of the model's routing; nil for a model without experts.
    package var routingShape: RoutingShape? {
        manifest.shape.experts.map {
            RoutingShape(
                layerCount: manifest.experts.count, expertsPerLayer: $0.count,
                expertsPerToken: $0.usedCount)
        }
    }

    /// Records every step from now on to `writer`, which has this model's shape; nil ends it.
    package func recordRouting(to writer: RoutingTraceWriter?) {
        // Traces count the layers that have experts.
        let places = Dictionary(
            uniqueKeysWithValues: manifest.experts.enumerated().map { ($1.layer, $0) })
        transformer.observer.onRouting = writer.map { writer in
            { layer, experts in
                guard let place = places[layer] else { return }
                writer.record(layer: place, experts: experts)
            }
        }
    }
}
