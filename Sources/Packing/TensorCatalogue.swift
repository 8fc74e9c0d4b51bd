// The catalogue that import claims tensors from. A tensor that nobody claims is an error: dropping
// weights silently would be a wrong answer.

internal import ModelFamilies
internal import ModelFormat

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

    /// What the file calls a vector: by its usual name, or by another one that it has in its place.
    func name(of role: VectorRole, layer: Int?) -> String {
        let usual = TensorNames.vector(role, layer: layer)
        guard gguf.tensor(named: usual) == nil,
            let other = TensorNames.otherVector(role, layer: layer),
            gguf.tensor(named: other) != nil, !claimed.contains(other)
        else { return usual }
        return other
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

    /// Every tensor must have been claimed or be harmless.
    func finish() throws(FormatError) {
        for tensor in gguf.tensors where !claimed.contains(tensor.name) {
            guard !TensorNames.isHarmless(tensor.name) else { continue }
            let fused = tensor.name.contains("attn_qkv") || tensor.name.contains("gate_up")
            throw FormatError(
                file: file,
                expected: fused
                    ? "separate tensors (fused ones are not supported)"
                    : "only tensors of \(architecture)", found: Self.shown(tensor.name))
        }
    }

    /// A name from the file, fit for a message.
    private static func shown(_ name: String) -> String {
        String(
            name.unicodeScalars.prefix(64).map {
                $0.properties.generalCategory == .control ? " " : Character($0)
            })
    }
}
