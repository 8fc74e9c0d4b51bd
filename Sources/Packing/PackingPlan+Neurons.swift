// Which models' neurons are bundled, and where their bundles go.

internal import ModelFamilies
internal import ModelFormat

/// Where the bytes of one layer's neurons come from.
struct NeuronSources: Sendable {
    /// Nil without a gate.
    let gate: StoredTensor?
    let up: StoredTensor
    let down: GGUFTensor

    /// The first projection's rows.
    var first: StoredTensor { gate ?? up }

    /// The format of a column of a down matrix: plain numbers stay as they are, and so do quants
    /// whose scales can lie apart; all others become 8-bit blocks along the column. Nil where
    /// columns cannot be stored.
    static func columnFormat(of down: GGUFTensor, width: Int) -> WeightFormat? {
        switch down.type.format {
        case .f32?, .f16?, .bf16?, .q8_0?, .q4_0?: return down.type.format
        case nil where StoredTensor(down).format == .f32: return nil
        default: return width % WeightFormat.q8_0.blockElements == 0 ? .q8_0 : nil
        }
    }
}

/// How a dense feed-forward network's weights are arranged.
package enum NeuronPacking: String, Sendable, CaseIterable {
    /// By the neuron.
    case bundled
    /// As matrices.
    case whole
}

extension PackingPlan {
    /// Whether a model's neurons are bundled: as asked, else where its activation leaves most of
    /// them at 0 and they can be.
    ///
    /// - Throws: `FormatError` where they are to be and cannot.
    static func bundlesNeurons(
        _ shape: ModelShape, _ gguf: GGUFFile, _ wanted: NeuronPacking?, file: String
    ) throws(FormatError) -> Bool {
        switch wanted {
        case .whole: return false
        case nil: return shape.isSparse && canBundleNeurons(shape, gguf)
        case .bundled:
            guard canBundleNeurons(shape, gguf) else {
                throw FormatError(
                    file: file,
                    expected:
                        "a dense model without biases behind gates, to bundle its neurons",
                    found: shape.experts == nil ? "another" : "a mixture of experts")
            }
            return true
        }
    }

    /// Dense networks whose columns can be stored. Where there are gates, what they multiply has no
    /// biases: those of gates, of ups without, and of downs are vectors of all neurons.
    private static func canBundleNeurons(_ shape: ModelShape, _ gguf: GGUFFile) -> Bool {
        let widths = Set(shape.layers.map { $0.feedForward.dense?.width })
        guard widths.count == 1, widths.first != .some(nil), shape.experts == nil,
            shape.layerEmbeddingWidth == nil
        else {
            return false
        }
        let dense = shape.layers.compactMap(\.feedForward.dense)
        guard dense.allSatisfy({ !($0.isGated && $0.biases.up) && $0.bound == nil }) else {
            return false
        }
        return (0..<shape.layerCount).allSatisfy { layer in
            let down = gguf.tensor(named: TensorNames.matrix(.feedForwardDown, layer: layer))
            return down.map { NeuronSources.columnFormat(of: $0, width: shape.width) != nil }
                ?? true
        }
    }

    /// - Parameter matrices: the first projections are among them, claimed already.
    static func planNeurons(
        _ shape: ModelShape, _ catalogue: inout TensorCatalogue, _ cursor: inout LayoutCursor
    ) throws(FormatError) -> (records: [PackedNeuronLayer], sources: [NeuronSources]) {
        var records: [PackedNeuronLayer] = []
        var sources: [NeuronSources] = []
        let (width, count) = (shape.width, shape.feedForwardWidth)
        for layer in 0..<shape.layerCount {
            func claim(
                _ role: MatrixRole, _ dimensions: [Int], _ catalogue: inout TensorCatalogue
            ) throws(FormatError) -> GGUFTensor {
                try catalogue.claim(
                    TensorNames.matrix(role, layer: layer), dimensions: dimensions)
            }
            var gate: StoredTensor?
            if shape.hasGate {
                gate = StoredTensor(try claim(.feedForwardGate, [width, count], &catalogue))
            }
            let up = StoredTensor(try claim(.feedForwardUp, [width, count], &catalogue))
            let down = try claim(.feedForwardDown, [count, width], &catalogue)
            guard let format = NeuronSources.columnFormat(of: down, width: width) else {
                preconditionFailure("bundlesNeurons(_:_:) asked first")
            }
            records.append(
                cursor.placeNeurons(
                    layer: layer, count: count, width: width, gate: gate?.format, up: up.format,
                    down: format, isSparse: shape.isSparse,
                    hasScales: PackedNeuronLayer.splitFormats.contains { $0 == down.type.format }))
            sources.append(NeuronSources(gate: gate, up: up, down: down))
        }
        return (records, sources)
    }

    // MARK: Pieces: bundles that are made in memory at once.

    private static let neuronPieceBytes = 4 << 20

    /// Bundles of one piece.
    static func bundlesPerPiece(_ record: PackedNeuronLayer) -> Int {
        min(max(1, neuronPieceBytes / record.bundleBytes), record.bundleCount)
    }

    static func pieceCount(_ record: PackedNeuronLayer) -> Int {
        let bundles = bundlesPerPiece(record)
        return (record.bundleCount + bundles - 1) / bundles
    }

    /// What a piece takes in memory, the greatest of all layers; nil without neurons.
    var neuronPiece: NeuronPieceSize? {
        zip(manifest.neurons ?? [], neurons).reduce(nil) { size, layer in
            let (record, sources) = layer
            let bundles = Self.bundlesPerPiece(record)
            let columns = min(record.count, bundles * record.neuronsPerBundle)
            let type = sources.down.type
            // A piece may begin and end within a block.
            let blocks = columns / type.blockElements + 2
            return NeuronPieceSize(
                bundleBytes: max(size?.bundleBytes ?? 0, bundles * record.bundleBytes),
                sourceBytes: max(
                    size?.sourceBytes ?? 0,
                    NeuronPieceSize.rowsTogether * blocks * type.blockBytes),
                floatCount: max(
                    size?.floatCount ?? 0,
                    NeuronPieceSize.rowsTogether * (blocks * type.blockElements)),
                scaleBytes: max(
                    size?.scaleBytes ?? 0, record.scales == nil ? 0 : blocks * record.width * 2))
        }
    }
}

/// The memory in which a piece of a layer's neurons is made.
struct NeuronPieceSize: Sendable, Equatable {
    /// Rows of the down matrix that are turned together: a block of a column.
    static let rowsTogether = 32

    let bundleBytes: Int
    /// So many rows' parts as the source has them.
    let sourceBytes: Int
    /// The same decoded.
    let floatCount: Int
    /// All rows' scales.
    let scaleBytes: Int

    /// Where in the memory each part begins, and where the last ends.
    var sourceOffset: Int { PackedLayout.aligned(bundleBytes) }
    var floatOffset: Int { sourceOffset + PackedLayout.aligned(sourceBytes) }
    var scaleOffset: Int { floatOffset + PackedLayout.aligned(floatCount * 4) }
    var byteCount: Int { scaleOffset + PackedLayout.aligned(scaleBytes) }
}

extension LayoutCursor {
    mutating func placeNeurons(
        layer: Int, count: Int, width: Int, gate: WeightFormat?, up: WeightFormat,
        down: WeightFormat, isSparse: Bool, hasScales: Bool
    ) -> PackedNeuronLayer {
        let none = PackedExtent(offset: 0, byteCount: 0, checksum: 0)
        var record = PackedNeuronLayer(
            layer: layer, count: count, width: width, gate: gate, up: up, down: down,
            scales: hasScales ? none : nil, holdsFirst: isSparse ? nil : false,
            neuronsPerBundle: 1, offset: 0, isReordered: false, checksums: none, places: none)
        record.neuronsPerBundle =
            isSparse
            ? PackedNeuronLayer.neuronsPerBundle(recordBytes: record.recordBytes, count: count)
            : PackedNeuronLayer.neuronsPerBundle(halfFiring: record.recordBytes, count: count)
        record.offset = place(record.byteCount).offset
        record.checksums = place(record.bundleCount * 4)
        record.places = place(count * 4)
        if hasScales { record.scales = place(record.scalesBytes) }
        return record
    }
}
