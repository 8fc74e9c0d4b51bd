// Layers of neurons as a whole: where each neuron is, and records that are kept until all have
// come.

internal import LinuxSystem
internal import Memory
package import ModelFormat

extension NeuronWeights {
    /// Bytes that the orders and checksums of `manifest`'s neurons take.
    package static func directoryBytes(_ manifest: PackedManifest) -> Int {
        NeuronDirectory.byteCount(manifest)
    }

    /// Bytes that the scales of `manifest`'s down matrices take, which stay.
    package static func scalesBytes(_ manifest: PackedManifest) -> Int {
        NeuronDirectory.scalesBytes(manifest)
    }

    /// Where a neuron of a layer is.
    package func place(of neuron: NeuronID, layer: Int) -> NeuronPlace {
        directory.neurons.place(of: neuron, layer: layer)
    }

    /// The neuron at a place of a layer.
    package func neuron(at place: NeuronPlace, layer: Int) -> NeuronID {
        directory.neurons.neuron(at: place, layer: layer)
    }

    /// The scales of a layer's columns, halves `[neurons / 32][width]`; nil where columns have
    /// none apart.
    @_lifetime(borrow self)
    package func scales(layer: Int) -> RawSpan? {
        guard let extent = directory.manifest.neurons?[layer].scales else { return nil }
        let arena = directory.neurons.scales
        let bytes = arena.bytes(
            at: NeuronDirectory.scalesBytes(directory.manifest, before: layer),
            byteCount: extent.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// All of a layer's bundles, as the file has them.
    ///
    /// - Precondition: dense weights stay in memory; extents then lie there one after another.
    @_lifetime(borrow self)
    package func allResident(layer: Int) -> RawSpan {
        let plan = directory.plan
        guard !plan.streamsDense,
            let start = plan[directory.firstUnits.ofNeurons[layer]].pinnedOffset
        else { preconditionFailure("neurons that are not all in memory") }
        let arena = reads.arena
        let bytes = arena.bytes(
            at: start, byteCount: directory.neuronLayer(layer).byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Keeps a neuron's record beyond the lease that it came in, until the next layer's are kept:
    /// for neurons that are streamed in another order than they are summed in.
    package func keep(_ record: RawSpan, of neuron: NeuronID) {
        let offset = directory.plan.stagingOffset + neuron.index * record.byteCount
        precondition(
            offset + record.byteCount <= directory.plan.arenaBytes,
            "the plan has room for a layer")
        reads.arena.copy(record, to: offset)
    }

    /// The record of a neuron that was kept.
    @_lifetime(borrow self)
    package func kept(_ neuron: NeuronID, byteCount: Int) -> RawSpan {
        let arena = reads.arena
        let bytes = arena.bytes(
            at: directory.plan.stagingOffset + neuron.index * byteCount, byteCount: byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
