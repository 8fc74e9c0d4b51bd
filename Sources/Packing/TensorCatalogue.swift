// The catalogue that import claims tensors from. A tensor that nobody claims is an error: dropping
// weights silently would be a wrong answer.

internal import ModelFamilies
internal import ModelFormat

/// Bytes of tensors that are left out.
package struct LeftOutBytes: Sendable, Equatable {
    /// Of layers that only draft tokens.
    package var draftLayers = 0
    /// Of keys and values of layers that read those of others.
    package var unreadKeys = 0

    package init(draftLayers: Int = 0, unreadKeys: Int = 0) {
        self.draftLayers = draftLayers
        self.unreadKeys = unreadKeys
    }
}

/// A model's tensors, claimed by name until none is left.
struct TensorCatalogue {
    let gguf: GGUFFile
    let file: String
    let architecture: String
    private var claimed: Set<String> = []

    init(gguf: GGUFFile, file: String, architecture: String) {
        self.gguf = gguf
        self.file = file
        self.architecture = architecture
    }

    /// The tensor `name`, or nil where the file has none.
    mutating func claimIfPresent(_ name: String) -> GGUFTensor? {
        guard let tensor = gguf.tensor(named: name) else { return nil }
        claimed.insert(name)
        return tensor
    }

    /// A layer's matrix: a tensor of its own, or its rows of one that holds several.
    ///
    /// - Parameters:
    ///   - all: the layer's matrices.
    ///   - heads: of the layer, of which each has rows in turn in some tensors.
    /// - Throws: as ``claim(_:dimensions:)`` does.
    mutating func claim(
        _ role: MatrixRole, layer: Int, among all: [(role: MatrixRole, shape: MatrixShape)],
        heads: Int
    ) throws(FormatError) -> TensorRows {
        let shapes = Dictionary(uniqueKeysWithValues: all.map { ($0.role, $0.shape) })
        guard let shape = shapes[role] else { preconditionFailure("a matrix of another layer") }
        for fused in TensorNames.fused(role, layer: layer)
        where has(fused, { TensorNames.matrix($0, layer: layer) }) {
            guard let rows = rows(of: role, in: fused, { shapes[$0]?.rows }) else { continue }
            let stored = StoredTensor(
                try claim(fused.name, dimensions: [shape.columns, rows.count]))
            let rowBytes = stored.format.rowBytes(columns: shape.columns)
            let groups = fused.isByHead ? heads : 1
            return TensorRows(
                stored: stored, byteOffset: rows.own.lowerBound / groups * rowBytes,
                groupRows: shape.rows / groups, groupStride: rows.count / groups)
        }
        var name = TensorNames.matrix(role, layer: layer)
        if gguf.tensor(named: name) == nil,
            let other = TensorNames.otherMatrix(role, layer: layer),
            gguf.tensor(named: other) != nil
        {
            name = other
        }
        var dimensions = [shape.columns, shape.rows / shape.planes]
        if shape.planes > 1 { dimensions.append(shape.planes) }
        let tensor = try claim(name, dimensions: dimensions)
        return TensorRows(stored: StoredTensor(tensor), byteOffset: 0)
    }

    /// A vector, alike.
    mutating func claim(
        _ vector: VectorShape, layer: Int?, among all: [VectorShape]
    ) throws(FormatError) -> VectorElements {
        let name = name(of: vector.role, layer: layer)
        guard let fused = TensorNames.fused(vector.role, layer: layer).first,
            has(fused, { TensorNames.vector($0, layer: layer) }),
            let elements = rows(
                of: vector.role, in: fused, { role in all.first { $0.role == role }?.count })
        else {
            let tensor = try claim(name, dimensions: dimensions(of: vector, as: name))
            return VectorElements(tensor: tensor, range: 0..<vector.count)
        }
        let tensor = try claim(fused.name, dimensions: [elements.count])
        return VectorElements(tensor: tensor, range: elements.own)
    }

    /// A vector's dimensions in the file. Some files have dimensions of 1 between a convolution's
    /// positions and its channels.
    private func dimensions(of vector: VectorShape, as name: String) -> [Int] {
        guard let columns = vector.columns else { return [vector.count] }
        let channels = vector.count / columns
        let isDeep = gguf.tensor(named: name)?.dimensions.prefix(2) == [columns, 1]
        if channels == 1 { return [columns] }
        return isDeep ? [columns, 1, channels] : [columns, channels]
    }

    /// Whether the file has a fused tensor, and none of its parts.
    private func has<Role>(
        _ fused: TensorNames.Fused<Role>, _ name: (Role) -> String
    ) -> Bool {
        gguf.tensor(named: fused.name) != nil
            && fused.roles.allSatisfy {
                name($0) == fused.name || gguf.tensor(named: name($0)) == nil
            }
    }

    /// Which rows of a fused tensor are those of `role`, and how many there are; nil where the
    /// model lacks some of what it holds.
    private func rows<Role: Equatable>(
        of role: Role, in fused: TensorNames.Fused<Role>, _ rowCount: (Role) -> Int?
    ) -> (own: Range<Int>, count: Int)? {
        var own = 0..<0
        var count = 0
        for part in fused.roles {
            guard let rows = rowCount(part) else { return nil }
            if part == role { own = count..<count + rows }
            count += rows
        }
        return (own, count)
    }

    /// What the file calls a vector: by its usual name, or by another one that it has in its place.
    func name(of role: VectorRole, layer: Int?) -> String {
        let usual = TensorNames.vector(role, layer: layer)
        guard gguf.tensor(named: usual) == nil else { return usual }
        let others = TensorNames.otherVectors(role, layer: layer)
        return others.first { gguf.tensor(named: $0) != nil && !claimed.contains($0) } ?? usual
    }

    /// The tensor `name` with the given dimensions, GGUF's order: columns first.
    ///
    /// - Throws: `FormatError` when there is none or it has another shape.
    mutating func claim(_ name: String, dimensions: [Int]) throws(FormatError) -> GGUFTensor {
        guard let tensor = claimIfPresent(name) else {
            throw FormatError(
                file: file, expected: "tensor \(name) of \(architecture)", found: "none")
        }
        try check(tensor, dimensions: dimensions)
        return tensor
    }

    /// Dimensions of 1 at the end say nothing.
    func check(_ tensor: GGUFTensor, dimensions: [Int]) throws(FormatError) {
        var found = tensor.dimensions
        while found.count > dimensions.count, found.last == 1 { found.removeLast() }
        guard found == dimensions else {
            func shape(_ lengths: [Int]) -> String {
                lengths.map(String.init).joined(separator: " x ")
            }
            throw FormatError(
                file: file, expected: "tensor \(tensor.name) of \(shape(dimensions))",
                found: shape(tensor.dimensions))
        }
    }

    /// Every tensor must have been claimed, be harmless, be of a draft layer, or be of keys that no
    /// layer reads.
    func finish(
        draftLayers: Range<Int>, _ shape: ModelShape
    ) throws(FormatError) -> LeftOutBytes {
        var byteCount = LeftOutBytes()
        for tensor in gguf.tensors where !claimed.contains(tensor.name) {
            guard !TensorNames.isHarmless(tensor.name) else { continue }
            if let layer = TensorNames.layer(of: tensor.name) {
                if draftLayers.contains(layer) {
                    byteCount.draftLayers += tensor.byteCount
                    continue
                }
                if shape.layers.indices.contains(layer),
                    shape.layers[layer].mixer.keyValueLayer != nil,
                    TensorNames.isOfKeys(tensor.name, layer: layer)
                {
                    byteCount.unreadKeys += tensor.byteCount
                    continue
                }
            }
            throw FormatError(
                file: file, expected: "only tensors of \(architecture)",
                found: Self.shown(tensor.name))
        }
        return byteCount
    }

    /// A name from the file, fit for a message.
    private static func shown(_ name: String) -> String {
        String(
            name.unicodeScalars.prefix(64).map {
                $0.properties.generalCategory == .control ? " " : Character($0)
            })
    }
}
