// Gives the neurons of a packed file other places, so that those that fire together are fetched
// together. Writes a new file beside the old one, then takes its name; results stay as they are.

internal import LinuxSystem
internal import ModelFormat

/// A packed file's neurons in a new order.
package struct NeuronReordering {
    private static let pieceBytes = 4 << 20

    private let source: FileByteSource
    private let model: PackedModel

    /// - Throws: `PackingError` when the file cannot be read.
    package init(path: String) throws(PackingError) {
        let opened = try openedSource(path)
        source = opened
        model = try fromSource { () throws(FormatError) in
            let model = try PackedModel(source: opened)
            try model.checkIsPlain()
            return model
        }
    }

    /// Puts the file with other places of neurons under `path`.
    ///
    /// - Parameter orders: for each layer, the neuron at each place: a permutation.
    /// - Throws: `PackingError` when reading or writing fails; what `path` names is then untouched.
    package func write(
        to path: String, orders: [[UInt32]], processID: Int32
    ) throws(PackingError) {
        let layers = model.manifest.neurons ?? []
        precondition(orders.count == layers.count, "an order for each layer")
        for (order, layer) in zip(orders, layers) {
            precondition(order.count == layer.count && Set(order).count == layer.count)
        }
        let size = source.byteCount
        let file = try fromDestination { () throws(SystemError) in
            try PartialFile(
                destination: path, processID: processID, byteCount: size + UInt64(Self.pieceBytes))
        }
        try copyAll(into: file)
        var manifest = model.manifest
        for (index, order) in orders.enumerated() {
            let record = layers[index]
            let checksums = try writeBundles(of: record, order, into: file)
            var places = [UInt32](repeating: 0, count: record.count)
            for (place, neuron) in order.enumerated() { places[Int(neuron)] = UInt32(place) }
            manifest.neurons?[index].isReordered = places.enumerated().contains {
                $0.offset != Int($0.element)
            }
            manifest.neurons?[index].checksums.checksum = try write(
                words: checksums, at: record.checksums.offset, into: file)
            manifest.neurons?[index].places.checksum = try write(
                words: places, at: record.places.offset, into: file)
        }
        let end = try write(manifest, into: file)
        try fromDestination { () throws(SystemError) in
            try file.commit(to: path, byteCount: end, overwrite: true)
        }
    }

    private func bytes(at offset: UInt64, count: Int) throws(PackingError) -> [UInt8] {
        try fromSource { () throws(FormatError) in
            try source.packedBytes(at: offset, count: count)
        }
    }

    private func copyAll(into file: borrowing PartialFile) throws(PackingError) {
        var offset: UInt64 = 0
        while offset < source.byteCount {
            let count = Int(min(UInt64(Self.pieceBytes), source.byteCount - offset))
            try file.put(try bytes(at: offset, count: count), at: offset)
            offset += UInt64(count)
        }
    }

    /// A layer's bundles, records taken from where they were.
    ///
    /// - Returns: each bundle's checksum.
    private func writeBundles(
        of record: PackedNeuronLayer, _ order: [UInt32], into file: borrowing PartialFile
    ) throws(PackingError) -> [UInt32] {
        let old = try fromSource { () throws(FormatError) in
            try model.neuronPlaces(record, from: source)
        }
        let step = max(1, Self.pieceBytes / record.bundleBytes)
        var checksums: [UInt32] = []
        for first in stride(from: 0, to: record.bundleCount, by: step) {
            let bundles = first..<min(first + step, record.bundleCount)
            var piece = [UInt8](repeating: 0, count: bundles.count * record.bundleBytes)
            let start = record.places(ofBundle: bundles.lowerBound).lowerBound
            let end = record.places(ofBundle: bundles.upperBound - 1).upperBound
            for place in start..<end {
                let from = record.firstRowOffset(place: Int(old[Int(order[place])]))
                let bytes = try bytes(
                    at: record.offset + UInt64(from), count: record.recordBytes)
                let to = record.firstRowOffset(place: place) - first * record.bundleBytes
                piece.replaceSubrange(to..<to + bytes.count, with: bytes)
            }
            for index in bundles.indices {
                let start = (index - first) * record.bundleBytes
                checksums.append(Checksum.of(piece[start..<start + record.bundleBytes]))
            }
            try file.put(piece, at: record.offset + UInt64(first * record.bundleBytes))
        }
        return checksums
    }

    private func write(
        words: [UInt32], at offset: UInt64, into file: borrowing PartialFile
    ) throws(PackingError) -> UInt32 {
        let bytes = words.flatMap(\.littleEndianBytes)
        try file.put(bytes, at: offset)
        return Checksum.of(bytes[...])
    }

    /// The manifest and a header that names it.
    ///
    /// - Returns: the file's bytes.
    private func write(
        _ manifest: PackedManifest, into file: borrowing PartialFile
    ) throws(PackingError) -> UInt64 {
        let header = try fromSource { () throws(FormatError) in
            try PackedHeader(source: source)
        }
        let json = try fromSource { () throws(FormatError) in
            try manifest.encodedJSON(file: source.name)
        }
        let offset = header.manifest.offset
        let end = offset + UInt64(json.count)
        let changed = PackedHeader(
            version: header.version,
            manifest: PackedExtent(
                offset: offset, byteCount: json.count, checksum: Checksum.of(json[...])),
            fileByteCount: end)
        try file.put(json, at: offset)
        try file.put(changed.encoded, at: 0)
        return end
    }
}
