// Where a layer's feed-forward neurons lie in a packed file: bundles of what a neuron needs, at a
// fixed stride (docs/FORMAT.md, "Neurons"). Geometry, the rule for a bundle's size, and reading the
// two binary extents. Arithmetic on validated records never overflows.

/// A layer's neurons, each with its row of the first projection (gate, or up where there is no
/// gate), its row of up where there is a gate, and its column of down.
///
/// A neuron's record is these one after another, the first projection's row only where
/// ``holdsFirst`` says so; a bundle is ``neuronsPerBundle`` records in whole 4 KiB blocks, so that
/// fetching a neuron is one read ("LLM in a flash", arXiv 2312.11514, section 3.2).
package struct PackedNeuronLayer: Codable, Sendable, Equatable {
    package var layer: Int
    package var count: Int
    /// Elements of a row, and of a column.
    package var width: Int
    /// Nil where the network has no gate.
    package var gate: WeightFormat?
    package var up: WeightFormat
    /// Of columns. With ``scales`` the source's format: a column is its quants, a signed byte each.
    /// Without, blocks run along the network's output.
    package var down: WeightFormat
    /// The down matrix's own scales, little-endian halves: for each 32 neurons, in the order of
    /// their numbers, one per output. Nil where columns have their scales in them, or none.
    package var scales: PackedExtent?
    /// Whether records begin with the first projection's row: nil and true say yes. Where all of
    /// that projection is computed anyway, it is no use.
    package var holdsFirst: Bool?
    package var neuronsPerBundle: Int
    /// Of the first bundle.
    package var offset: UInt64
    /// Whether any neuron's place is not its number.
    package var isReordered: Bool
    /// A little-endian CRC-32C per bundle.
    package var checksums: PackedExtent
    /// A little-endian 32-bit place for each neuron, in the order of their numbers.
    package var places: PackedExtent

    package init(
        layer: Int, count: Int, width: Int, gate: WeightFormat?, up: WeightFormat,
        down: WeightFormat, scales: PackedExtent?, holdsFirst: Bool? = nil,
        neuronsPerBundle: Int, offset: UInt64, isReordered: Bool, checksums: PackedExtent,
        places: PackedExtent
    ) {
        self.layer = layer
        self.count = count
        self.width = width
        self.gate = gate
        self.up = up
        self.down = down
        self.scales = scales
        self.holdsFirst = holdsFirst
        self.neuronsPerBundle = neuronsPerBundle
        self.offset = offset
        self.isReordered = isReordered
        self.checksums = checksums
        self.places = places
    }

    /// What messages call it.
    package var name: String { "neurons of layer \(layer)" }

    /// Bytes of one neuron's row of the first projection in its record.
    package var firstBytes: Int {
        holdsFirst == false ? 0 : (gate ?? up).rowBytes(columns: width)
    }
    /// Bytes of one neuron's row of up where that is not the first projection, else 0.
    package var upBytes: Int { gate == nil ? 0 : up.rowBytes(columns: width) }
    /// Bytes of one neuron's column of down.
    package var columnBytes: Int { scales == nil ? down.rowBytes(columns: width) : width }
    /// Bytes of ``scales``: whole blocks of 32 neurons.
    package var scalesBytes: Int { count / Self.neuronsPerScale * width * 2 }
    package static let neuronsPerScale = 32
    /// Formats of a source whose scales can lie apart from its quants.
    package static let splitFormats = [WeightFormat.q8_0, .q4_0]
    /// Bytes of what a neuron needs beyond its row of the first projection.
    package var restBytes: Int { upBytes + columnBytes }

    /// Bytes of a neuron's record.
    package var recordBytes: Int { firstBytes + restBytes }
    package var bundleBytes: Int { PackedLayout.aligned(neuronsPerBundle * recordBytes) }
    package var bundleCount: Int { (count + neuronsPerBundle - 1) / neuronsPerBundle }
    /// Bytes of all bundles.
    package var byteCount: Int { bundleCount * bundleBytes }

    /// The bundle that holds the neuron at `place`.
    package func bundle(ofPlace place: Int) -> Int { place / neuronsPerBundle }

    /// Where the record at `place` starts, from the layer's first bundle on: with the row of the
    /// first projection.
    package func firstRowOffset(place: Int) -> Int {
        place / neuronsPerBundle * bundleBytes + place % neuronsPerBundle * recordBytes
    }

    /// Where the rest of the record at `place` starts, from the layer's first bundle on: the row of
    /// up, where it is in the rest, and after it the column.
    package func restOffset(place: Int) -> Int { firstRowOffset(place: place) + firstBytes }

    /// Where the column at `place` starts, from the layer's first bundle on.
    package func columnOffset(place: Int) -> Int { restOffset(place: place) + upBytes }

    /// The places that bundle `index` holds.
    package func places(ofBundle index: Int) -> Range<Int> {
        let first = index * neuronsPerBundle
        return first..<min(first + neuronsPerBundle, count)
    }

    /// Bundle `index` as bytes of the file, with its checksum of ``checksums``' values.
    package func extent(bundle index: Int, checksums: [UInt32]) -> PackedExtent {
        PackedExtent(
            offset: offset + UInt64(index * bundleBytes), byteCount: bundleBytes,
            checksum: checksums[index])
    }

    /// Bundles that are read together where all are read: about as many bytes as a matrix's extent
    /// has. A reader's choice, no part of the format.
    package var bundlesPerExtent: Int { max(1, PackedLayout.extentBytesMax / bundleBytes) }

    package var extentCount: Int { (bundleCount + bundlesPerExtent - 1) / bundlesPerExtent }

    /// Bundles of extent `index`.
    package func bundles(ofExtent index: Int) -> Range<Int> {
        let first = index * bundlesPerExtent
        return first..<min(first + bundlesPerExtent, bundleCount)
    }

    /// Extent `index` as one of a matrix whose rows are places. It has no checksum of its own.
    package func extent(_ index: Int) -> PackedMatrixExtent {
        let bundles = bundles(ofExtent: index)
        let first = places(ofBundle: bundles.lowerBound).lowerBound
        return PackedMatrixExtent(
            offset: offset + UInt64(bundles.lowerBound * bundleBytes),
            byteCount: bundles.count * bundleBytes, checksum: 0,
            rows: first..<places(ofBundle: bundles.upperBound - 1).upperBound)
    }

    /// The bundles of extent `index`, each with its checksum, front to back.
    package func parts(ofExtent index: Int, checksums: [UInt32]) -> [PackedExtent] {
        bundles(ofExtent: index).map { extent(bundle: $0, checksums: checksums) }
    }

    /// Padding of whole bundles that import accepts, in percent of their bytes.
    package static let paddingPercentMax = 25

    /// How many neurons make a bundle: those that fit the fewest blocks with at most
    /// ``paddingPercentMax`` padding; where no number does, one with the least padding.
    package static func neuronsPerBundle(recordBytes: Int, count: Int) -> Int {
        var best = 1
        // Records of a block's bytes fill blocks by themselves; more neurons change nothing.
        for neurons in 1...min(count, PackedLayout.alignment) {
            let bytes = PackedLayout.aligned(neurons * recordBytes)
            // The share of useful bytes, compared as fractions.
            let bestBytes = PackedLayout.aligned(best * recordBytes)
            if neurons * bestBytes > best * bytes { best = neurons }
            if (bytes - neurons * recordBytes) * 100 <= bytes * paddingPercentMax { break }
        }
        let blocks = PackedLayout.aligned(best * recordBytes)
        return min(count, blocks / recordBytes)
    }

    /// The same where as many neurons fire as not: the number with which a token then reads least,
    /// a bundle of n being left out once in 2^n.
    package static func neuronsPerBundle(halfFiring recordBytes: Int, count: Int) -> Int {
        var (best, least, touched) = (1, Double.infinity, 0.0)
        for neurons in 1...min(count, PackedLayout.alignment) {
            touched += (1 - touched) / 2
            let bytes = touched * Double(PackedLayout.aligned(neurons * recordBytes))
            if bytes / Double(neurons) < least {
                (best, least) = (neurons, bytes / Double(neurons))
            }
        }
        return best
    }
}

extension PackedModel {
    /// The checksums of a layer's bundles.
    package func neuronChecksums(
        _ layer: PackedNeuronLayer, from source: any ByteSource
    ) throws(FormatError) -> [UInt32] {
        try words(layer.checksums, from: source, "the checksums of \(layer.name)")
    }

    /// Each neuron's place, in the order of their numbers: a permutation.
    ///
    /// - Throws: `FormatError` also when it is not one.
    package func neuronPlaces(
        _ layer: PackedNeuronLayer, from source: any ByteSource
    ) throws(FormatError) -> [UInt32] {
        let places = try words(layer.places, from: source, "the places of \(layer.name)")
        var isTaken = [Bool](repeating: false, count: layer.count)
        for (neuron, place) in places.enumerated() {
            guard place < layer.count, !isTaken[Int(place)],
                layer.isReordered || Int(place) == neuron
            else {
                throw FormatError(
                    file: fileName, offset: layer.places.offset,
                    expected: "each of \(layer.count) places once in \(layer.name)",
                    found: "neuron \(neuron) at \(place)")
            }
            isTaken[Int(place)] = true
        }
        return places
    }

    /// A verified extent of little-endian words.
    private func words(
        _ extent: PackedExtent, from source: any ByteSource, _ what: String
    ) throws(FormatError) -> [UInt32] {
        var words = [UInt32](repeating: 0, count: extent.byteCount / 4)
        var span = words.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(extent, from: source, into: &raw, what)
        return words.map { UInt32(littleEndian: $0) }
    }
}
