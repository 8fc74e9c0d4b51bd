// What is needed to find a neuron in its layer's bundles, and to compare those with their
// checksums.

internal import LinuxSystem
internal import Memory
internal import ModelFormat

/// Each neuron layer's checksums and order. Always resident.
struct NeuronDirectory {
    /// One for each bundle, by layer.
    let checksums: [[UInt32]]
    /// Each neuron's place, by layer; empty where places are the neurons' numbers.
    let places: [[UInt32]]
    /// The neuron at each place; empty alike.
    let neurons: [[UInt32]]
    /// The down matrices' scales, layer after layer, where they lie apart.
    let scales: MemoryArena

    init(
        _ model: PackedModel, from source: any ByteSource, memory: consuming MemoryReservation
    ) throws {
        let scales = try MemoryArena(
            byteCount: Self.scalesBytes(model.manifest), of: memory)
        for layer in model.manifest.neurons ?? [] {
            guard let extent = layer.scales else { continue }
            var room = scales.mutableBytes(
                at: Self.scalesBytes(model.manifest, before: layer.layer),
                byteCount: extent.byteCount)
            try model.read(extent, from: source, into: &room, "the scales of the \(layer.name)")
        }
        self.scales = scales
        var (checksums, places, neurons): ([[UInt32]], [[UInt32]], [[UInt32]]) = ([], [], [])
        for layer in model.manifest.neurons ?? [] {
            checksums.append(try model.neuronChecksums(layer, from: source))
            let order = try model.neuronPlaces(layer, from: source)
            guard layer.isReordered else {
                places.append([])
                neurons.append([])
                continue
            }
            var inverse = order
            for (neuron, place) in order.enumerated() { inverse[Int(place)] = UInt32(neuron) }
            places.append(order)
            neurons.append(inverse)
        }
        (self.checksums, self.places, self.neurons) = (checksums, places, neurons)
    }

    /// Bytes of the scales of all layers, or of those before one.
    static func scalesBytes(_ manifest: PackedManifest, before layer: Int = .max) -> Int {
        (manifest.neurons ?? []).prefix(layer).reduce(0) {
            $0 + PackedLayout.aligned($1.scales?.byteCount ?? 0)
        }
    }

    /// Bytes that the rest of it takes for `manifest`.
    static func byteCount(_ manifest: PackedManifest) -> Int {
        (manifest.neurons ?? []).reduce(0) { sum, layer in
            sum + layer.checksums.byteCount + (layer.isReordered ? 2 * layer.places.byteCount : 0)
        }
    }

    /// Where a neuron of a layer is.
    func place(of neuron: NeuronID, layer: Int) -> NeuronPlace {
        let places = places[layer]
        return places.isEmpty
            ? NeuronPlace(rawValue: neuron.rawValue) : NeuronPlace(places[neuron.index])
    }

    /// The neuron at a place of a layer.
    func neuron(at place: NeuronPlace, layer: Int) -> NeuronID {
        let neurons = neurons[layer]
        return neurons.isEmpty ? NeuronID(rawValue: place.rawValue) : NeuronID(neurons[place.index])
    }
}
