// A model family: how its GGUF files say what shape the model has. Families exist only here, where
// files are imported; what computes knows shapes.

package import ModelFormat

/// One family, by the GGUF architecture that its files name.
package struct ModelFamily: Sendable {
    /// `general.architecture`.
    package let architecture: String
    let readShape: @Sendable (ShapeReader) throws(FormatError) -> ModelShape

    init(
        _ architecture: String,
        shape: @escaping @Sendable (ShapeReader) throws(FormatError) -> ModelShape
    ) {
        self.architecture = architecture
        readShape = shape
    }

    /// All families that can be imported.
    package static let all = [
        llama, qwen2, qwen3, qwen2moe, qwen3moe, olmoe, arcee, nemotron, granite, graniteMoE,
        smolLM3, olmo2, gemma2, gemma3, smallThinker, exaone4, seedOSS, hunyuanDense, mistral3,
        gptOSS, dots1, bailingMoE2, glm4MoE, ernie45MoE, miniMaxM2, afmoe, laguna,
        lfm2, lfm2MoE, qwen35, qwen35MoE, qwen3Next, hunyuanMoE, phi3,
        graniteHybrid, deepseek2, nemotronH, nemotronHMoE, gemma4, bailingMoE3, opt
    ]
}

extension GGUFFile {
    /// The family that the file names.
    ///
    /// - Throws: `FormatError` naming the architecture and the known ones when it is not one of
    ///   those.
    package func family() throws(FormatError) -> ModelFamily {
        let key = "general.architecture"
        guard let name = try metadata.string(key) else { throw metadata.missing(key) }
        guard let family = ModelFamily.all.first(where: { $0.architecture == name }) else {
            let known = ModelFamily.all.map(\.architecture).joined(separator: " ")
            throw FormatError(
                file: metadata.source.name, offset: metadata.entry(key)?.payload.lowerBound,
                expected: "an architecture out of \(known)", found: shown(name))
        }
        return family
    }

    /// The layers that only draft tokens, after the model's own; they are not imported.
    ///
    /// - Throws: `FormatError` as ``shape()`` does.
    package func draftLayers() throws(FormatError) -> Range<Int> {
        try ShapeReader(file: self, architecture: try family().architecture).draftLayers()
    }

    /// The model's shape.
    ///
    /// - Throws: `FormatError` for an unknown architecture, a missing key, a value that makes no
    ///   sense, or something that is not computed, by name.
    package func shape() throws(FormatError) -> ModelShape {
        let family = try family()
        let reader = ShapeReader(file: self, architecture: family.architecture)
        var shape = try family.readShape(reader)
        shape.pooling = try reader.pooling()
        if let what = shape.notComputed {
            throw FormatError(
                file: metadata.source.name, expected: "a model that is computed", found: what)
        }
        return shape
    }
}
