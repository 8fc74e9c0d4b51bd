// A layer's neuron bundles as dense weights: all of them, pinned or through the ring, with what is
// needed to find a neuron in them.

package import FlashStorage
internal import LinuxSystem
internal import Memory
package import ModelFormat

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
        _ model: PackedModel, from source: FileByteSource, memory: consuming MemoryReservation
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
}

extension WeightStore {
    /// Bytes that the books of `manifest`'s neurons take.
    package static func neuronDirectoryBytes(_ manifest: PackedManifest) -> Int {
        NeuronDirectory.byteCount(manifest)
    }

    /// Bytes that the scales of `manifest`'s down matrices take, which stay.
    package static func neuronScalesBytes(_ manifest: PackedManifest) -> Int {
        NeuronDirectory.scalesBytes(manifest)
    }

    /// The scales of a layer's columns, halves `[neurons / 32][width]`; nil where columns have
    /// none apart.
    @_lifetime(borrow self)
    package func neuronScales(layer: Int) -> RawSpan? {
        guard let extent = manifest.neurons?[layer].scales else { return nil }
        let arena = neurons.scales
        let bytes = arena.bytes(
            at: NeuronDirectory.scalesBytes(manifest, before: layer), byteCount: extent.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Calls `body` with all of a layer's bundles, some at a time: their bytes, and the places in
    /// them, in the order of the file.
    ///
    /// - Throws: `ReadFailure` when bundles cannot be read or are damaged.
    package func withNeurons(
        layer: Int, _ body: (RawSpan, Range<Int>) -> Void
    ) throws(ReadFailure) {
        guard let record = manifest.neurons?[layer] else {
            preconditionFailure("neurons of a model without bundles")
        }
        try withUnits(from: firstUnit.ofNeurons[layer], count: record.extentCount, body)
    }

    /// All of a layer's bundles, as the file has them.
    ///
    /// - Precondition: dense weights stay in memory; extents then lie there one after another.
    @_lifetime(borrow self)
    package func residentNeurons(layer: Int) -> RawSpan {
        guard let record = manifest.neurons?[layer],
            let start = plan[firstUnit.ofNeurons[layer]].pinnedOffset,
            !plan.streamsDense
        else { preconditionFailure("neurons that are not all in memory") }
        let arena = arena
        let bytes = arena.bytes(at: start, byteCount: record.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Where a neuron of a layer is.
    package func place(of neuron: NeuronID, layer: Int) -> NeuronPlace {
        let places = neurons.places[layer]
        return places.isEmpty ? NeuronPlace(neuron.rawValue) : NeuronPlace(places[neuron.index])
    }

    /// The neuron at a place of a layer.
    package func neuron(at place: NeuronPlace, layer: Int) -> NeuronID {
        let neurons = neurons.neurons[layer]
        return neurons.isEmpty ? NeuronID(place.rawValue) : NeuronID(neurons[place.index])
    }

    /// Keeps a neuron's record beyond ``withNeurons(layer:_:)``, until the next layer's are kept:
    /// for neurons that are streamed in another order than they are summed in.
    package func keep(_ record: RawSpan, of neuron: NeuronID) {
        let offset = plan.stagingOffset + neuron.index * record.byteCount
        precondition(offset + record.byteCount <= plan.arenaBytes, "the plan has room for a layer")
        arena.copy(record, to: offset)
    }

    /// The record of a neuron that was kept.
    @_lifetime(borrow self)
    package func kept(_ neuron: NeuronID, byteCount: Int) -> RawSpan {
        let arena = arena
        let bytes = arena.bytes(
            at: plan.stagingOffset + neuron.index * byteCount, byteCount: byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
