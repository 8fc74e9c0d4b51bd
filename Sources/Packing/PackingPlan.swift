// Decides where everything goes before a byte is written: which GGUF tensor fills which record, and
// every offset. Pure: reads only the GGUF file's directory.

internal import ModelFamilies
internal import ModelFormat

/// Rows of one GGUF tensor: a whole matrix, or one expert's share of a merged tensor.
struct TensorRows: Sendable {
    let stored: StoredTensor
    /// Of the first row, from the start of the tensor as it is stored.
    let byteOffset: Int
    /// So many rows side by side are the matrix's, then come others: those of one head.
    var groupRows = Int.max
    /// Rows from one such group to the next.
    var groupStride = Int.max

    /// Rows `range` of the matrix in pieces that are side by side in the tensor: how many, and how
    /// many rows of the tensor are between the first of all and theirs.
    func pieces(of range: Range<Int>) -> [(rows: Int, tensorRow: Int)] {
        var list: [(rows: Int, tensorRow: Int)] = []
        var row = range.lowerBound
        while row < range.upperBound {
            let (group, place) = row.quotientAndRemainder(dividingBy: groupRows)
            let count = min(range.upperBound - row, groupRows - place)
            list.append((count, group == 0 ? place : group * groupStride + place))
            row += count
        }
        return list
    }
}

/// Elements of a one-dimensional GGUF tensor: all, or one role's share of a fused one.
struct VectorElements: Sendable {
    let tensor: GGUFTensor
    let range: Range<Int>

    /// Where their bytes are, from the start of the tensor. Vectors are of types without blocks.
    var bytes: Range<Int> {
        let size = tensor.type.blockBytes
        return range.lowerBound * size..<range.upperBound * size
    }
}

/// Where each record's bytes come from, in the order in which they are written.
struct PackingPlan: Sendable {
    /// Complete but for checksums, which are zeros in the right number.
    var manifest: PackedManifest
    let embeddings: StoredTensor
    /// Other tables of rows, where there are any.
    private let otherTables: [RowTable: StoredTensor]
    /// Whether the output matrix is the embeddings: they are stored once, as that.
    let isTied: Bool
    /// Parallel to the manifest's vectors.
    let vectors: [VectorElements]
    /// Parallel to the manifest's matrices.
    let matrices: [TensorRows]
    /// Parallel to the manifest's expert layers: per expert its gate, up and down.
    let experts: [[[TensorRows]]]
    /// Parallel to the manifest's neuron layers.
    let neurons: [NeuronSources]
    /// Layers that only draft tokens, and their bytes in the source: left out.
    let draftLayers: Range<Int>
    let leftOutBytes: LeftOutBytes
    /// Where the manifest goes.
    let dataEnd: UInt64

    /// Plans a packed file of `gguf`.
    ///
    /// - Parameter neurons: how they are arranged; nil bundles them where most of them are silent.
    /// - Throws: `FormatError` naming a tensor that is missing, left over or of a wrong shape.
    init(
        gguf: GGUFFile, source: PackedSource, shape: ModelShape,
        vocabularyBytes: Int, neurons packing: NeuronPacking? = nil
    ) throws(FormatError) {
        try shape.checkBounds(file: source.fileName)
        var catalogue = TensorCatalogue(
            gguf: gguf, file: source.fileName, architecture: shape.architecture)
        var cursor = LayoutCursor()
        let vocabulary = cursor.place(vocabularyBytes)
        let width = shape.width
        let outputDimensions = [width, shape.vocabularySize]
        embeddings = StoredTensor(
            try catalogue.claim(
                TensorNames.rows(of: .embeddings), dimensions: outputDimensions))
        // Models that tie embeddings and output have no output tensor.
        isTied = gguf.tensor(named: TensorNames.matrix(.output, layer: nil)) == nil
        var rows = PackedRows(
            format: embeddings.format, rows: outputDimensions[1], columns: outputDimensions[0],
            offset: 0, pageChecksums: PackedExtent(offset: 0, byteCount: 0, checksum: 0))
        if !isTied { cursor.place(&rows) }
        let layerRows = try Self.planRows(of: .layerEmbeddings, shape, &catalogue, &cursor)
        let positionRows = try Self.planRows(of: .positionEmbeddings, shape, &catalogue, &cursor)
        otherTables = [.layerEmbeddings: layerRows, .positionEmbeddings: positionRows]
            .compactMapValues { $0?.tensor }
        let vectors = try Self.planVectors(shape, &catalogue, &cursor)
        let bundlesNeurons = try Self.bundlesNeurons(
            shape, gguf, packing, file: source.fileName)
        let matrices = try Self.planMatrices(
            shape, bundlesNeurons: bundlesNeurons, embeddings: embeddings, &catalogue,
            &cursor)
        if isTied, let output = matrices.records.last { cursor.place(&rows, in: output) }
        let experts = try Self.planExperts(shape, &catalogue, &cursor)
        let neurons =
            bundlesNeurons ? try Self.planNeurons(shape, &catalogue, &cursor) : nil
        draftLayers = try gguf.draftLayers()
        leftOutBytes = try catalogue.finish(draftLayers: draftLayers, shape)
        manifest = PackedManifest(
            modelName: Self.oneLine(gguf.modelName() ?? source.fileName), source: source,
            shape: shape, vocabulary: vocabulary, embeddings: rows,
            layerEmbeddings: layerRows?.record, positionEmbeddings: positionRows?.record,
            vectors: vectors.records,
            matrices: matrices.records, experts: experts.records,
            neurons: neurons?.records)
        self.vectors = vectors.tensors
        self.matrices = matrices.tensors
        self.experts = experts.tensors
        self.neurons = neurons?.sources ?? []
        dataEnd = cursor.offset
        try manifest.validate(file: source.fileName, dataEnd: dataEnd)
    }

    /// A model's own name, fit for one line; names say nothing about weights, so none is refused.
    static func oneLine(_ name: String) -> String {
        let line = name.unicodeScalars.prefix(PackedLimits.textBytesMax / 4).map { scalar in
            scalar.properties.generalCategory == .control ? " " : Character(scalar)
        }
        return String(line)
    }

    /// Bytes that hold the biggest piece that is arranged at once: an extent, or a tile of rows too
    /// long for one.
    var pieceBytesMax: Int {
        var bytes = PackedLayout.extentBytesMax
        func include(_ format: WeightFormat, columns: Int) {
            bytes = max(bytes, format.tiledBytes(rows: WeightFormat.tileRows, columns: columns))
        }
        for matrix in manifest.matrices { include(matrix.format, columns: matrix.columns) }
        for layer in manifest.experts {
            for part in layer.parts {
                include(part.format, columns: part.columns)
                if layer.biasOffset != nil { include(.f32, columns: part.rows) }
            }
        }
        for layer in manifest.neurons ?? [] { include(layer.up, columns: layer.width) }
        return bytes
    }

    /// Bytes of the source that the biggest re-quantised piece comes from; 0 when there is none.
    var requantizedBytesMax: Int {
        let all =
            manifest.rowTables.map { self[$0] } + matrices.map(\.stored)
            + experts.lazy.flatMap { $0 }.flatMap { $0 }.map(\.stored) + neurons.map(\.up)
        return all.filter(\.isRequantized).map { stored in
            // A piece is no bigger than the tensor, and 64-bit numbers are twice what is stored.
            let groups = (pieceBytesMax + stored.groupBytes - 1) / stored.groupBytes
            return stored.sourceBytes(of: groups * stored.groupBytes)
        }.max() ?? 0
    }

    /// Bytes that rows from several places are brought together in; 0 when there are none.
    var gatheredBytesMax: Int {
        matrices.contains { $0.groupRows != Int.max && $0.groupRows != $0.groupStride }
            ? pieceBytesMax : 0
    }

    /// Where a table's rows come from.
    ///
    /// - Precondition: there is such a table.
    subscript(_ table: RowTable) -> StoredTensor {
        if table == .embeddings { return embeddings }
        guard let tensor = otherTables[table] else { preconditionFailure("no \(table.name)") }
        return tensor
    }

    /// Bytes of a table that are written by themselves: none of what the output matrix is.
    func ownBytes(of table: RowTable) -> Int {
        isTied && table == .embeddings ? 0 : manifest[table]?.byteCount ?? 0
    }

    /// Bytes of a table that are written at once: whole pages of whole groups.
    func pieceBytes(of table: RowTable) -> Int {
        let page = PackedLayout.alignment
        let stored = self[table]
        var unit = page
        if stored.isRequantized { while unit % stored.groupBytes != 0 { unit += page } }
        return max(1, PackedLayout.extentBytesMax / unit) * unit
    }

    private static func planRows(
        of table: RowTable, _ shape: ModelShape, _ catalogue: inout TensorCatalogue,
        _ cursor: inout LayoutCursor
    ) throws(FormatError) -> (record: PackedRows, tensor: StoredTensor)? {
        guard let matrix = shape[table] else { return nil }
        let stored = StoredTensor(
            try catalogue.claim(
                TensorNames.rows(of: table), dimensions: [matrix.columns, matrix.rows]))
        var rows = PackedRows(
            format: stored.format, rows: matrix.rows, columns: matrix.columns, offset: 0,
            pageChecksums: PackedExtent(offset: 0, byteCount: 0, checksum: 0))
        cursor.place(&rows)
        return (rows, stored)
    }

    private static func planVectors(
        _ shape: ModelShape, _ catalogue: inout TensorCatalogue,
        _ cursor: inout LayoutCursor
    ) throws(FormatError) -> (records: PackedVectors, tensors: [VectorElements]) {
        var entries: [PackedVector] = []
        var tensors: [VectorElements] = []
        var end = 0
        func add(
            _ vector: VectorShape, layer: Int?, among all: [VectorShape]
        ) throws(FormatError) {
            let elements = try catalogue.claim(vector, layer: layer, among: all)
            let tensor = elements.tensor
            guard [.f32, .f16, .bf16].contains(StoredTensor(tensor).format) else {
                throw FormatError(
                    file: catalogue.file, expected: "\(tensor.name) as plain numbers",
                    found: tensor.type.name)
            }
            let start = PackedLayout.aligned(end, to: PackedLayout.partAlignment)
            entries.append(
                PackedVector(
                    role: vector.role, layer: layer, count: vector.count, byteOffset: start))
            tensors.append(elements)
            end = start + vector.count * 4
        }
        for (index, layer) in shape.layers.enumerated() {
            let all = shape.vectors(of: layer)
            for vector in all { try add(vector, layer: index, among: all) }
        }
        for vector in shape.modelVectors { try add(vector, layer: nil, among: []) }
        return (PackedVectors(extent: cursor.place(end), entries: entries), tensors)
    }

    private static func planMatrices(
        _ shape: ModelShape, bundlesNeurons: Bool, embeddings: StoredTensor,
        _ catalogue: inout TensorCatalogue, _ cursor: inout LayoutCursor
    ) throws(FormatError) -> (records: [PackedMatrix], tensors: [TensorRows]) {
        var records: [PackedMatrix] = []
        var tensors: [TensorRows] = []
        for (index, layer) in shape.layers.enumerated() {
            let all = shape.matrices(of: index, bundlesNeurons: bundlesNeurons)
            for (role, matrix) in all {
                let rows = try catalogue.claim(
                    role, layer: index, among: all, heads: layer.fusedHeadCount)
                records.append(cursor.placeMatrix(role, layer: index, rows.stored.format, matrix))
                tensors.append(rows)
            }
        }
        let matrix = shape.outputShape
        let name = TensorNames.matrix(.output, layer: nil)
        let output = catalogue.claimIfPresent(name).map { StoredTensor($0) } ?? embeddings
        try catalogue.check(output.tensor, dimensions: [matrix.columns, matrix.rows])
        records.append(cursor.placeMatrix(.output, layer: nil, output.format, matrix))
        tensors.append(TensorRows(stored: output, byteOffset: 0))
        return (records, tensors)
    }

    private static func planExperts(
        _ shape: ModelShape, _ catalogue: inout TensorCatalogue,
        _ cursor: inout LayoutCursor
    ) throws(FormatError) -> (records: [PackedExpertLayer], tensors: [[[TensorRows]]]) {
        var records: [PackedExpertLayer] = []
        var tensors: [[[TensorRows]]] = []
        for (layer, experts) in shape.mixtures {
            let matrices = shape.expertMatrices(experts)
            var parts: [PackedBundlePart] = []
            var rows = [[TensorRows]](repeating: [], count: experts.count)
            for (part, matrix) in matrices {
                let sources = try claimExperts(
                    part.rawValue, layer: layer, count: experts.count, matrix, &catalogue)
                for (expert, source) in sources.enumerated() { rows[expert].append(source) }
                let end = parts.last.map { $0.byteOffset + $0.byteCount } ?? 0
                parts.append(
                    PackedBundlePart(
                        format: sources[0].stored.format, rows: matrix.rows,
                        columns: matrix.columns,
                        byteOffset: PackedLayout.aligned(end, to: PackedLayout.partAlignment)))
            }
            if experts.hasExpertBiases {
                let biases = try claimBiases(
                    Array(zip(matrices.map(\.part), parts)), layer: layer, count: experts.count,
                    &catalogue)
                for expert in rows.indices { rows[expert] += biases[expert] }
            }
            records.append(
                cursor.placeExperts(
                    layer: layer, count: experts.count, parts,
                    hasBiases: experts.hasExpertBiases))
            tensors.append(rows)
        }
        return (records, tensors)
    }

    /// The biases of every expert of a layer: of each of its parts.
    private static func claimBiases(
        _ parts: [(ExpertPart, PackedBundlePart)], layer: Int, count: Int,
        _ catalogue: inout TensorCatalogue
    ) throws(FormatError) -> [[TensorRows]] {
        var biases = [[TensorRows]](repeating: [], count: count)
        for (name, part) in parts {
            let name = TensorNames.expertBiases(name.rawValue, layer: layer)
            let stored = StoredTensor(try catalogue.claim(name, dimensions: [part.rows, count]))
            guard stored.format == .f32 else {
                throw FormatError(
                    file: catalogue.file, expected: "\(name) as floats",
                    found: stored.tensor.type.name)
            }
            for expert in 0..<count {
                let offset = expert * part.rows * WeightFormat.f32.blockBytes
                biases[expert].append(TensorRows(stored: stored, byteOffset: offset))
            }
        }
        return biases
    }

    /// One part of every expert of a layer, from the merged tensor or from one tensor each.
    private static func claimExperts(
        _ part: String, layer: Int, count: Int, _ shape: MatrixShape,
        _ catalogue: inout TensorCatalogue
    ) throws(FormatError) -> [TensorRows] {
        let fused = TensorNames.fusedExperts(layer: layer)
        if part != "down", catalogue.gguf.tensor(named: fused) != nil {
            let stored = StoredTensor(
                try catalogue.claim(fused, dimensions: [shape.columns, 2 * shape.rows, count]))
            let partBytes = shape.rows * stored.format.rowBytes(columns: shape.columns)
            return (0..<count).map {
                TensorRows(
                    stored: stored, byteOffset: (2 * $0 + (part == "up" ? 1 : 0)) * partBytes)
            }
        }
        let first = TensorNames.expert(0, part, layer: layer)
        guard catalogue.gguf.tensor(named: first) != nil else {
            let stored = StoredTensor(
                try catalogue.claim(
                    TensorNames.experts(part, layer: layer),
                    dimensions: [shape.columns, shape.rows, count]))
            let expertBytes = shape.rows * stored.format.rowBytes(columns: shape.columns)
            return (0..<count).map { TensorRows(stored: stored, byteOffset: $0 * expertBytes) }
        }
        var list: [TensorRows] = []
        for expert in 0..<count {
            let name = TensorNames.expert(expert, part, layer: layer)
            let stored = StoredTensor(
                try catalogue.claim(name, dimensions: [shape.columns, shape.rows]))
            if let first = list.first?.stored, first.format != stored.format {
                throw FormatError(
                    file: catalogue.file,
                    expected: "\(name) in its layer's format, \(first.tensor.type.name)",
                    found: stored.tensor.type.name)
            }
            list.append(TensorRows(stored: stored, byteOffset: 0))
        }
        return list
    }
}

/// Hands out aligned offsets, front to back.
struct LayoutCursor {
    var offset = UInt64(PackedLayout.headerBytes)

    private mutating func take(_ byteCount: Int) -> UInt64 {
        defer { offset += UInt64(PackedLayout.aligned(byteCount)) }
        return offset
    }

    mutating func place(_ byteCount: Int) -> PackedExtent {
        PackedExtent(offset: take(byteCount), byteCount: byteCount, checksum: 0)
    }

    mutating func place(_ rows: inout PackedRows) {
        rows.offset = take(rows.byteCount)
        rows.pageChecksums = place(rows.pageCount * 4)
    }

    /// Rows that are those of a matrix.
    mutating func place(_ rows: inout PackedRows, in matrix: PackedMatrix) {
        (rows.offset, rows.rowsPerExtent) = (matrix.offset, matrix.rowsPerExtent)
        rows.pageChecksums = place(rows.pageCount * 4)
    }

    mutating func placeMatrix(
        _ role: MatrixRole, layer: Int?, _ format: WeightFormat, _ shape: MatrixShape
    ) -> PackedMatrix {
        var record = PackedMatrix(
            role: role, layer: layer, format: format, rows: shape.rows, columns: shape.columns,
            rowsPerExtent: PackedLayout.rowsPerExtent(
                format: format, rows: shape.rows, columns: shape.columns),
            offset: 0, checksums: PackedChecksums([]))
        record.offset = take(record.spanBytes)
        record.checksums = PackedChecksums([UInt32](repeating: 0, count: record.extentCount))
        return record
    }

    mutating func placeExperts(
        layer: Int, count: Int, _ parts: [PackedBundlePart], hasBiases: Bool
    ) -> PackedExpertLayer {
        let (biasOffset, bundleBytes) = PackedExpertLayer.layout(parts, hasBiases: hasBiases)
        let stride = PackedLayout.aligned(bundleBytes)
        return PackedExpertLayer(
            layer: layer, count: count, gate: parts.dropLast(2).last, up: parts[parts.count - 2],
            down: parts[parts.count - 1], biasOffset: biasOffset, bundleBytes: bundleBytes,
            stride: stride, offset: take(count * stride),
            checksums: PackedChecksums([UInt32](repeating: 0, count: count)))
    }
}
