// Decides whether to believe a manifest: every extent inside the file, every size what its shape
// implies, every matrix what the model's shape implies, every tensor there once. A manifest that
// passes can be read with plain arithmetic; one that does not is a FormatError.

extension PackedManifest {
    /// Checks the whole manifest of the file `file`, whose extents lie in
    /// `PackedLayout.headerBytes..<dataEnd`.
    ///
    /// - Throws: `FormatError` naming the record and what is wrong with it.
    package func validate(file: String, dataEnd: UInt64) throws(FormatError) {
        let validator = PackedValidator(
            file: file, dataEnd: dataEnd, shape: shape)
        guard PackedLayout.formatVersions.contains(formatVersion) else {
            throw validator.error(
                "manifest format version \(PackedLayout.formatVersion)", "\(formatVersion)")
        }
        try validator.checkTexts(
            [modelName, source.fileName, source.digest]
                + conversions.prefix(
                    PackedLimits.conversionsMax + 1))
        guard conversions.count <= PackedLimits.conversionsMax else {
            throw validator.error(
                "at most \(PackedLimits.conversionsMax) conversions", "\(conversions.count)")
        }
        try validator.checkRequantizations(requantizations ?? [])
        try shape.checkBounds(file: file)
        if let what = shape.notComputed { throw validator.error("a model that is computed", what) }
        try validator.checkVocabulary(vocabulary)
        try validator.checkVectors(vectors)
        try validator.checkMatrices(matrices, bundlesNeurons: neurons != nil)
        try validator.checkEmbeddings(embeddings, output: matrices.last)
        for table in [RowTable.layerEmbeddings, .positionEmbeddings] {
            try validator.checkRows(of: table, self[table])
        }
        try validator.checkExperts(experts)
        if let neurons { try validator.checkNeurons(neurons) }
    }
}

/// One manifest's checks. The model's shape is checked first: the matrices it implies are then
/// small enough to multiply.
private struct PackedValidator {
    let file: String
    let dataEnd: UInt64
    let shape: ModelShape

    func error(_ expected: String, _ found: String) -> FormatError {
        FormatError(file: file, expected: expected, found: found)
    }

    /// Texts are shown on terminals: short, and on one line.
    func checkTexts(_ texts: [String]) throws(FormatError) {
        for text in texts {
            guard text.utf8.count <= PackedLimits.textBytesMax,
                !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
            else {
                throw error(
                    "texts of at most \(PackedLimits.textBytesMax) bytes, no control characters",
                    "another")
            }
        }
    }

    func checkRequantizations(_ list: [PackedRequantization]) throws(FormatError) {
        guard list.count <= PackedLimits.conversionsMax else {
            throw error(
                "at most \(PackedLimits.conversionsMax) requantizations", "\(list.count)")
        }
        for entry in list {
            try checkTexts([entry.type, entry.worstTensor])
            guard entry.tensorCount > 0, entry.relativeError >= 0, entry.relativeErrorMax >= 0,
                entry.relativeError.isFinite, entry.relativeErrorMax.isFinite
            else { throw error("requantizations of tensors, errors from 0", "others") }
        }
    }

    /// A run of bytes must start at an aligned offset between the header and the manifest and end
    /// before the manifest.
    func checkRange(
        _ offset: UInt64, _ byteCount: Int, _ what: @autoclosure () -> String
    ) throws(FormatError) {
        guard offset >= UInt64(PackedLayout.headerBytes),
            offset % UInt64(PackedLayout.alignment) == 0,
            byteCount >= 0, offset <= dataEnd, UInt64(byteCount) <= dataEnd - offset
        else {
            throw error(
                "\(what()) in 4 KiB units between header and manifest (at \(dataEnd))",
                "\(byteCount) bytes at \(offset)")
        }
    }

    func checkShape(
        _ format: WeightFormat, rows: Int, columns: Int, is shape: MatrixShape,
        _ what: @autoclosure () -> String
    ) throws(FormatError) {
        guard rows == shape.rows, columns == shape.columns else {
            throw error(
                "\(what()) of \(shape.rows) x \(shape.columns)", "\(rows) x \(columns)")
        }
        guard rows > 0, rows <= PackedLimits.rowsMax, columns > 0,
            columns <= PackedLimits.columnsMax, columns % format.blockElements == 0
        else {
            throw error(
                "\(what()) of whole \(format.rawValue) blocks and at most "
                    + "\(PackedLimits.rowsMax) rows", "\(rows) x \(columns)")
        }
    }

    func checkVocabulary(_ extent: PackedExtent) throws(FormatError) {
        guard extent.byteCount <= PackedLimits.vocabularyBytesMax else {
            throw error(
                "a vocabulary of at most \(PackedLimits.vocabularyBytesMax) bytes",
                "\(extent.byteCount)")
        }
        try checkRange(extent.offset, extent.byteCount, "the vocabulary")
    }

    /// - Parameter output: the last matrix, checked.
    func checkEmbeddings(_ rows: PackedRows, output: PackedMatrix?) throws(FormatError) {
        try checkShape(
            rows.format, rows: rows.rows, columns: rows.columns, is: shape.outputShape,
            "embeddings")
        if let rowsPerExtent = rows.rowsPerExtent {
            guard let output, output.role == .output, rows.offset == output.offset,
                rows.format == output.format, rowsPerExtent == output.rowsPerExtent
            else { throw error("tied embeddings where the output matrix is", "them elsewhere") }
        }
        try checkPages(rows, .embeddings)
    }

    func checkRows(of table: RowTable, _ rows: PackedRows?) throws(FormatError) {
        let matrix = shape[table]
        guard (rows != nil) == (matrix != nil) else {
            throw error("\(matrix == nil ? "no" : "some") \(table.name)", "others")
        }
        guard let rows, let matrix else { return }
        try checkShape(
            rows.format, rows: rows.rows, columns: rows.columns, is: matrix, table.name)
        guard rows.rowsPerExtent == nil else { throw error("\(table.name) by rows", "tiles") }
        try checkPages(rows, table)
    }

    private func checkPages(_ rows: PackedRows, _ table: RowTable) throws(FormatError) {
        try checkRange(rows.offset, PackedLayout.aligned(rows.byteCount), "the \(table.name)")
        let (extent, byteCount) = (rows.pageChecksums, rows.pageCount * 4)
        guard extent.byteCount == byteCount else {
            throw error(
                "checksums of the \(table.name) of \(byteCount) bytes", "\(extent.byteCount)")
        }
        try checkRange(extent.offset, extent.byteCount, "the checksums of the \(table.name)")
    }

    func checkVectors(_ vectors: PackedVectors) throws(FormatError) {
        let extent = vectors.extent
        try checkRange(extent.offset, extent.byteCount, "the vectors")
        var bytesExpected = 0
        var seen = Set<String>()
        let modelShapes = shape.modelVectors
        let layerShapes = shape.layers.map { shape.vectors(of: $0) }
        for entry in vectors.entries {
            let name = Self.name(entry.role.rawValue, layer: entry.layer)
            try checkLayer(entry.layer, name)
            let shapes = entry.layer.map { layerShapes[$0] } ?? modelShapes
            guard let vector = shapes.first(where: { $0.role == entry.role }) else {
                throw error("vectors of its \(shape.architecture)", name)
            }
            guard seen.insert(name).inserted else { throw error("\(name) once", "it twice") }
            guard entry.count == vector.count, entry.count > 0 else {
                throw error("\(name) of \(vector.count) numbers", "\(entry.count)")
            }
            let aligned = PackedLayout.aligned(bytesExpected, to: PackedLayout.partAlignment)
            guard entry.byteOffset == aligned else {
                throw error("\(name) at \(aligned) of the vectors", "\(entry.byteOffset)")
            }
            bytesExpected = aligned + entry.count * 4
        }
        guard extent.byteCount == bytesExpected else {
            throw error("vectors of \(bytesExpected) bytes", "\(extent.byteCount)")
        }
        for vector in modelShapes { try require(vector.role.rawValue, layer: nil, in: seen) }
        for (layer, vectors) in layerShapes.enumerated() {
            for vector in vectors { try require(vector.role.rawValue, layer: layer, in: seen) }
        }
    }

    func checkMatrices(
        _ matrices: [PackedMatrix], bundlesNeurons: Bool
    ) throws(FormatError) {
        var expected: [(role: MatrixRole, layer: Int?, shape: MatrixShape)] = []
        for index in shape.layers.indices {
            expected += shape.matrices(of: index, bundlesNeurons: bundlesNeurons)
                .map { ($0.role, index, $0.shape) }
        }
        expected.append((.output, nil, shape.outputShape))
        guard matrices.count == expected.count else {
            throw error("\(expected.count) matrices", "\(matrices.count)")
        }
        for (index, (matrix, wanted)) in zip(matrices, expected).enumerated() {
            let name = Self.name(matrix.role.rawValue, layer: matrix.layer)
            guard matrix.role == wanted.role, matrix.layer == wanted.layer else {
                throw error(
                    "\(Self.name(wanted.role.rawValue, layer: wanted.layer)) as matrix \(index)",
                    name)
            }
            try checkMatrix(matrix, is: wanted.shape, name)
        }
    }

    private func checkMatrix(
        _ matrix: PackedMatrix, is shape: MatrixShape, _ name: String
    ) throws(FormatError) {
        try checkShape(
            matrix.format, rows: matrix.rows, columns: matrix.columns, is: shape, name)
        let tileRows = WeightFormat.tileRows
        let rowsMax = PackedLayout.aligned(matrix.rows, to: tileRows)
        guard (tileRows...rowsMax).contains(matrix.rowsPerExtent),
            matrix.rowsPerExtent % tileRows == 0
        else {
            throw error(
                "\(name) in extents of \(tileRows) to \(rowsMax) rows in steps of \(tileRows)",
                "\(matrix.rowsPerExtent)")
        }
        guard matrix.checksums.count == matrix.extentCount else {
            throw error(
                "\(matrix.extentCount) checksums of \(name)", "\(matrix.checksums.count)")
        }
        try checkRange(matrix.offset, matrix.spanBytes, name)
    }

    func checkExperts(_ layers: [PackedExpertLayer]) throws(FormatError) {
        let mixtures = shape.mixtures
        guard layers.count == mixtures.count else {
            throw error("experts of \(mixtures.count) layers", "\(layers.count)")
        }
        for ((index, experts), layer) in zip(mixtures, layers) {
            let matrices = shape.expertMatrices(experts)
            let name = "experts of layer \(index)"
            guard layer.layer == index, layer.count == experts.count else {
                throw error("\(experts.count) \(name)", "\(layer.count) of layer \(layer.layer)")
            }
            guard (layer.gate != nil) == experts.isGated else {
                throw error("\(name) \(experts.isGated ? "with" : "without") a gate", "other ones")
            }
            var end = 0
            for (part, matrix) in zip(layer.parts, matrices) {
                try checkShape(
                    part.format, rows: part.rows, columns: part.columns, is: matrix.shape, name)
                let aligned = PackedLayout.aligned(end, to: PackedLayout.partAlignment)
                guard part.byteOffset == aligned else {
                    throw error("\(name): a part at \(aligned)", "it at \(part.byteOffset)")
                }
                end = aligned + part.byteCount
            }
            let planned = PackedExpertLayer.layout(
                layer.parts, hasBiases: experts.hasExpertBiases)
            end = planned.bundleBytes
            guard layer.biasOffset == planned.biasOffset else {
                throw error(
                    "\(name), biases at \(planned.biasOffset ?? 0)",
                    "them at \(layer.biasOffset ?? 0)")
            }
            guard layer.bundleBytes == end, layer.stride == PackedLayout.aligned(end) else {
                throw error(
                    "\(name) of \(end) bytes every \(PackedLayout.aligned(end))",
                    "\(layer.bundleBytes) every \(layer.stride)")
            }
            guard layer.checksums.count == layer.count else {
                throw error("\(layer.count) checksums of \(name)", "\(layer.checksums.count)")
            }
            try checkRange(layer.offset, (layer.count - 1) * layer.stride + end, name)
        }
    }

    func checkNeurons(_ layers: [PackedNeuronLayer]) throws(FormatError) {
        guard shape.experts == nil, shape.layerEmbeddingWidth == nil else {
            throw error("no bundled neurons", "some")
        }
        guard layers.count == shape.layerCount else {
            throw error("neurons of \(shape.layerCount) layers", "\(layers.count)")
        }
        let matrix = MatrixShape(rows: shape.feedForwardWidth, columns: shape.width)
        for (index, layer) in layers.enumerated() {
            let name = "neurons of layer \(index)"
            guard layer.layer == index, (layer.gate != nil) == shape.hasGate else {
                throw error("\(name), gates as in the family", "others of layer \(layer.layer)")
            }
            try checkColumns(layer, matrix, name)
            guard (1...layer.count).contains(layer.neuronsPerBundle) else {
                throw error(
                    "bundles of 1 to \(layer.count) \(name)", "\(layer.neuronsPerBundle)")
            }
            try checkRange(layer.offset, layer.byteCount, name)
            var sizes = [
                (layer.checksums, layer.bundleCount * 4, "checksums"),
                (layer.places, layer.count * 4, "places")
            ]
            if let scales = layer.scales { sizes.append((scales, layer.scalesBytes, "scales")) }
            for (extent, byteCount, what) in sizes {
                guard extent.byteCount == byteCount else {
                    throw error(
                        "\(what) of the \(name) in \(byteCount) bytes", "\(extent.byteCount)")
                }
                try checkRange(extent.offset, byteCount, "\(what) of the \(name)")
            }
        }
    }

    private func checkColumns(
        _ layer: PackedNeuronLayer, _ shape: MatrixShape, _ name: String
    ) throws(FormatError) {
        for format in [layer.gate ?? layer.up, layer.up] {
            try checkShape(format, rows: layer.count, columns: layer.width, is: shape, name)
        }
        guard layer.scales == nil else {
            let source = MatrixShape(rows: shape.columns, columns: shape.rows)
            try checkShape(
                layer.down, rows: layer.width, columns: layer.count, is: source, name)
            guard PackedNeuronLayer.splitFormats.contains(layer.down) else {
                throw error("\(name) of q8_0 or q4_0", layer.down.rawValue)
            }
            return
        }
        try checkShape(layer.down, rows: layer.count, columns: layer.width, is: shape, name)
        guard [.f32, .f16, .bf16, .q8_0].contains(layer.down) else {
            throw error("\(name), columns of f32, f16, bf16 or q8_0", layer.down.rawValue)
        }
    }

    private func checkLayer(_ layer: Int?, _ name: String) throws(FormatError) {
        guard let layer else { return }
        guard (0..<shape.layerCount).contains(layer) else {
            throw error("layers below \(shape.layerCount)", name)
        }
    }

    private func require(
        _ role: String, layer: Int?, in seen: Set<String>
    ) throws(FormatError) {
        let name = Self.name(role, layer: layer)
        guard seen.contains(name) else { throw error(name, "none") }
    }

    /// What messages call a tensor.
    static func name(_ role: String, layer: Int?) -> String {
        layer.map { "\(role) of layer \($0)" } ?? role
    }
}
