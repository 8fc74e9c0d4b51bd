// Predictors as a file beside the model: width, neurons per bundle, threshold, the thresholds, the
// report; layers; then each layer (`LayerPredictor`'s fields in order, then its quality).
// docs/FORMAT.md, "Predictors".

package import FlashStorage
package import ModelFormat

extension NeuronPredictors {
    /// The predictors beside the packed file at `packed`; `digest` is of its model's source.
    package static func sidecar(
        besides packed: String, digest: String
    ) -> Sidecar<NeuronPredictors> {
        Sidecar(path: path(of: packed), digest: digest)
    }
}

extension NeuronPredictors: SidecarValue {
    package static let kind = SidecarKind(
        name: "predict", contents: "predictors of neurons", version: 2, formerMagic: "SLPREDIC",
        bytesMax: 4 << 30, remedy: "sluice calibrate makes it again")
    /// Without ``Report/decoding``: in its place is what another choice of neurons cost.
    private static let versionOfUnknownLoss: UInt32 = 1
    private static let layersMax: UInt32 = 4096
    private static let widthMax: UInt32 = 1 << 20
    private static let neuronsMax: UInt32 = 1 << 22

    package func write(to writer: inout ByteWriter) {
        writer.add(UInt32(width))
        writer.add(UInt32(neuronsPerBundle))
        writer.add([threshold] + thresholds)
        writer.add(UInt32(report.tokens))
        writer.add(UInt32(report.heldOutTokens))
        writer.add([report.recallTarget, report.loss])
        writer.add(UInt32(report.decoding?.tokens ?? 0))
        writer.add([report.decoding?.loss ?? 0, report.decoding?.predictedLoss ?? 0])
        writer.add(UInt32(layers.count))
        for layer in layers { writer.add(layer) }
    }

    /// - Parameter shape: the model's; predictors of another shape are refused.
    package init(
        _ reader: inout ByteReader, version: UInt32, for shape: ModelShape
    ) throws(FormatError) {
        width = try reader.number(in: 32...Self.widthMax, "elements of the input")
        guard width == shape.width, width % 32 == 0 else {
            throw reader.error("\(shape.width) elements of the input", found: "\(width)")
        }
        neuronsPerBundle = try reader.number(in: 1...Self.neuronsMax, "neurons per bundle")
        threshold = try reader.float()
        thresholds = try reader.floats(Self.thresholdCount)
        report = try reader.report(hasDecoding: version > Self.versionOfUnknownLoss)
        let count = try reader.number(in: 1...Self.layersMax, "layers")
        guard count == shape.layerCount else {
            throw reader.error("\(shape.layerCount) layers", found: "\(count)")
        }
        var layers: [LayerPredictor] = []
        for _ in 0..<count {
            let neurons = try reader.number(in: 1...Self.neuronsMax, "neurons")
            guard neurons == shape.feedForwardWidth else {
                throw reader.error(
                    "\(shape.feedForwardWidth) neurons", found: "\(neurons)")
            }
            layers.append(try LayerPredictor(&reader, neurons: neurons, width: width))
        }
        self.layers = layers
    }
}

extension LayerPredictor {
    fileprivate init(
        _ reader: inout ByteReader, neurons: Int, width: Int
    ) throws(FormatError) {
        neuronCount = neurons
        fineRank = try reader.rank(width)
        coarseRank = try reader.rank(width)
        guard fineRank + coarseRank > 0 else {
            throw reader.error("a code of at least 32 coordinates", found: "none")
        }
        offsets = try reader.floats(fineRank + coarseRank)
        fineEncoder = Array(
            try reader.take(Self.fineFormat.tiledBytes(rows: fineRank, columns: width)))
        coarseEncoder = Array(
            try reader.take(Self.coarseFormat.tiledBytes(rows: coarseRank, columns: width)))
        tiles = Array(
            try reader.take(
                Self.tilesBytes(neurons: neurons, fineRank: fineRank, coarseRank: coarseRank)))
        var order: [UInt32] = []
        order.reserveCapacity(neurons)
        var isPlaced = [Bool](repeating: false, count: neurons)
        for _ in 0..<neurons {
            let neuron = try reader.word()
            guard neuron < neurons, !isPlaced[Int(neuron)] else {
                throw reader.error("each of \(neurons) neurons once", found: "neuron \(neuron)")
            }
            isPlaced[Int(neuron)] = true
            order.append(neuron)
        }
        self.order = order
        let pairs = try reader.take(2 * neurons)
        frequencies = (0..<neurons).map {
            UInt16(pairs[pairs.startIndex + 2 * $0])
                | UInt16(pairs[pairs.startIndex + 2 * $0 + 1]) << 8
        }
        quality = Quality()
        quality.density = try reader.float()
        quality.recall = try reader.float()
        quality.precision = try reader.float()
        quality.fetchedShare = try reader.float()
        quality.costShare = try reader.float()
    }
}

extension ByteWriter {
    fileprivate mutating func add(_ layer: LayerPredictor) {
        add(UInt32(layer.neuronCount))
        add(UInt32(layer.fineRank))
        add(UInt32(layer.coarseRank))
        add(layer.offsets)
        bytes += layer.fineEncoder
        bytes += layer.coarseEncoder
        bytes += layer.tiles
        for neuron in layer.order { add(neuron) }
        for frequency in layer.frequencies {
            bytes.append(UInt8(truncatingIfNeeded: frequency))
            bytes.append(UInt8(truncatingIfNeeded: frequency >> 8))
        }
        let quality = layer.quality
        add([
            quality.density, quality.recall, quality.precision, quality.fetchedShare,
            quality.costShare
        ])
    }
}

extension ByteReader {
    fileprivate mutating func report(
        hasDecoding: Bool
    ) throws(FormatError) -> NeuronPredictors.Report {
        var report = NeuronPredictors.Report()
        report.tokens = try number(in: 0...UInt32.max, "tokens")
        report.heldOutTokens = try number(in: 0...UInt32.max, "tokens")
        report.recallTarget = try float()
        report.loss = try float()
        guard hasDecoding else {
            _ = try float()
            return report
        }
        let tokens = try number(in: 0...UInt32.max, "tokens")
        let (loss, predictedLoss) = (try float(), try float())
        if tokens > 0 {
            report.decoding = NeuronPredictors.Decoding(
                tokens: tokens, loss: loss, predictedLoss: predictedLoss)
        }
        return report
    }

    fileprivate mutating func rank(_ width: Int) throws(FormatError) -> Int {
        let rank = try word()
        guard rank % 32 == 0, rank <= width else {
            throw error("a multiple of 32 coordinates up to \(width)", found: "\(rank)")
        }
        return Int(rank)
    }
}
