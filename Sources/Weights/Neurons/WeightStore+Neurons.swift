// A layer's neuron bundles as dense weights: all of them, pinned or through the ring, with what is
// needed to find a neuron in them.

internal import LinuxSystem
internal import Memory
package import ModelFormat

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
        let arena = directory.neurons.scales
        let bytes = arena.bytes(
            at: NeuronDirectory.scalesBytes(manifest, before: layer), byteCount: extent.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// All of a layer's bundles, as the file has them.
    ///
    /// - Precondition: dense weights stay in memory; extents then lie there one after another.
    @_lifetime(borrow self)
    package func residentNeurons(layer: Int) -> RawSpan {
        guard let record = manifest.neurons?[layer],
            let start = plan[directory.firstUnits.ofNeurons[layer]].pinnedOffset,
            !plan.streamsDense
        else { preconditionFailure("neurons that are not all in memory") }
        let arena = reads.arena
        let bytes = arena.bytes(at: start, byteCount: record.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Where a neuron of a layer is.
    package func place(of neuron: NeuronID, layer: Int) -> NeuronPlace {
        directory.neurons.place(of: neuron, layer: layer)
    }

    /// The neuron at a place of a layer.
    package func neuron(at place: NeuronPlace, layer: Int) -> NeuronID {
        directory.neurons.neuron(at: place, layer: layer)
    }

    /// Keeps a neuron's record beyond ``demand(neuronsOfLayer:)``, until the next layer's are kept:
    /// for neurons that are streamed in another order than they are summed in.
    package func keep(_ record: RawSpan, of neuron: NeuronID) {
        let offset = plan.stagingOffset + neuron.index * record.byteCount
        precondition(offset + record.byteCount <= plan.arenaBytes, "the plan has room for a layer")
        reads.arena.copy(record, to: offset)
    }

    /// The record of a neuron that was kept.
    @_lifetime(borrow self)
    package func kept(_ neuron: NeuronID, byteCount: Int) -> RawSpan {
        let arena = reads.arena
        let bytes = arena.bytes(
            at: plan.stagingOffset + neuron.index * byteCount, byteCount: byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
