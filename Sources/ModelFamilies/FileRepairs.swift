// Files that say a family's things in other words, as other programs' converters write them
// (Ollama's above all), and files that are no models. Repairs trust tensors more than keys, and
// each is said; what is no model is refused by what it is.

package import ModelFormat

extension GGUFFile {
    /// Refuses what converters write beside models.
    ///
    /// - Throws: `FormatError` saying what the file is.
    package func checkIsModel() throws(FormatError) {
        // What is no text says nothing.
        let type = (try? metadata.string("general.type")) ?? "model"
        let architecture = try metadata.string("general.architecture")
        let layers = Set(tensors.compactMap { TensorNames.layer(of: $0.name) })
        let found: String
        switch (type, architecture) {
        case ("mmproj", _), (_, "clip"):
            found = "an encoder of images or sound (mmproj): the model is another file"
        case ("adapter", _): found = "an adapter (LoRA): its model is another file"
        case ("imatrix", _): found = "an importance matrix: the model is another file"
        case _ where !layers.isEmpty && !layers.contains(0):
            found = "layers that only draft (MTP): the model is another file"
        default: return
        }
        throw FormatError(file: metadata.source.name, expected: "a model", found: found)
    }

    /// The file in the words that its family's description reads.
    ///
    /// - Returns: also what was repaired, a few words each, in the order of the file's things.
    /// - Throws: `FormatError` when a key that is looked at is malformed.
    package func repaired() throws(FormatError) -> (file: GGUFFile, repairs: [String]) {
        var repair = FileRepair(file: self)
        try repair.plan()
        guard !repair.words.isEmpty else { return (self, []) }
        return (try edited(repair.edit()), repair.words)
    }
}

private struct FileRepair {
    let file: GGUFFile
    var words: [String] = []
    private var architecture = ""
    private var newArchitecture: String?
    private var keys: [String: String] = [:]
    private var tensors: [String: String?] = [:]
    private var values: [String: GGUFEdit.Value] = [:]

    init(file: GGUFFile) { self.file = file }

    /// Families by the names that others give them.
    private static let families = [
        "gptoss": "gpt-oss", "olmo3": "olmo2", "glm4moelite": "deepseek2"
    ]
    /// What files of several kinds have beside a language model.
    private static let otherKinds = ["v.", "a.", "s.", "mm.", "model.vision_tower.", "mtp."]
    private static let mistralKeys = [
        "rope.scaling.beta_fast": "rope.scaling.yarn_beta_fast",
        "rope.scaling.beta_slow": "rope.scaling.yarn_beta_slow",
        "rope.scaling.mscale_all_dim": "rope.scaling.yarn_log_multiplier",
        "rope.scaling_beta": "attention.temperature_scale"
    ]
    private static let llama3TokenCount = 128_256

    mutating func plan() throws(FormatError) {
        guard let name = try file.metadata.string("general.architecture") else { return }
        architecture = name
        newArchitecture = Self.families[name]
        if let newArchitecture { words.append("architecture \(name) is \(newArchitecture)") }
        planTensors()
        switch newArchitecture ?? name {
        case "gpt-oss" where newArchitecture != nil: try planGPTOSS()
        case "mistral3":
            for (old, new) in Self.mistralKeys.sorted(by: { $0.key < $1.key })
            where file.metadata.entry("\(name).\(old)") != nil {
                keys["\(name).\(old)"] = "\(name).\(new)"
                words.append("\(old) is \(new)")
            }
        case "lfm2", "lfm2moe": try trustRows(of: "blk.0.ffn_gate.weight", "feed_forward_length")
        case "llama": try planPreTokenizer()
        case "gemma4":
            let tokenizer = "tokenizer.ggml.model"
            if try file.metadata.string(tokenizer) == "llama",
                file.metadata.entry("tokenizer.ggml.merges") != nil
            {
                set(tokenizer, .text("gemma4"), "\(tokenizer) is gemma4")
            }
        default: break
        }
    }

    func edit() -> GGUFEdit {
        var edit = GGUFEdit()
        let (architecture, newArchitecture) = (architecture, newArchitecture)
        let (keys, tensors) = (keys, tensors)
        edit.keyName = { key in
            if let name = keys[key] { return name }
            guard let newArchitecture, key.hasPrefix(architecture + ".") else { return key }
            return newArchitecture + key.dropFirst(architecture.count)
        }
        edit.tensorName = { name in tensors[name] ?? name }
        edit.values = values
        if let newArchitecture { edit.values["general.architecture"] = .text(newArchitecture) }
        return edit
    }

    // MARK: Tensors

    private mutating func planTensors() {
        var bytes = 0
        var renamed: [String: String] = [:]
        for tensor in file.tensors {
            let name = tensor.name
            if Self.otherKinds.contains(where: name.hasPrefix) {
                tensors[name] = .some(nil)
                bytes += tensor.byteCount
            } else if let (stem, new) = rename(name) {
                tensors[name] = .some(new)
                renamed[stem] = TensorNames.stem(of: new)
            }
        }
        for (old, new) in renamed.sorted(by: { $0.key < $1.key }) {
            words.append("\(old) is \(new)")
        }
        if bytes > 0 {
            let size = "\((bytes + (1 << 20) - 1) >> 20) MiB"
            words.append("\(size) for images, sound or drafts are left out")
        }
    }

    /// A tensor's stem and its usual name, where it has another.
    private func rename(_ name: String) -> (stem: String, new: String)? {
        guard TensorNames.layer(of: name) != nil else { return nil }
        let stem = TensorNames.stem(of: name)
        switch (newArchitecture ?? architecture, stem) {
        case ("gpt-oss", "attn_out.weight"), ("gpt-oss", "attn_out.bias"):
            return (stem, name.replacing("attn_out.", with: "attn_output."))
        case ("gpt-oss", "attn_sinks"): return (stem, name + ".weight")
        case ("gemma4", "ffn_gate_inp.per_expert_scale"):
            return (stem, name.replacing(stem, with: "ffn_down_exps.scale"))
        case ("qwen35", "ssm_dt"), ("qwen35moe", "ssm_dt"), ("qwen3next", "ssm_dt"):
            return (stem, name + ".bias")
        default: return nil
        }
    }

    // MARK: Keys

    private mutating func planGPTOSS() throws(FormatError) {
        try trustRows(of: "blk.0.ffn_gate_exps.weight", "expert_feed_forward_length")
        let scaling = "\(architecture).rope.scaling"
        if file.metadata.entry("\(scaling).factor") != nil,
            file.metadata.entry("\(scaling).type") == nil
        {
            set("\(scaling).type", .text("yarn"), "rope.scaling.type is yarn")
        }
        let pre = "tokenizer.ggml.pre"
        if try file.metadata.string(pre) != "gpt-4o" {
            set(pre, .text("gpt-4o"), "\(pre) is gpt-4o")
        }
    }

    /// A matrix has as many rows as a width says, or the width is wrong.
    private mutating func trustRows(of tensor: String, _ key: String) throws(FormatError) {
        guard let tensor = file.tensor(named: tensor), tensor.dimensions.count > 1 else { return }
        let rows = tensor.dimensions[1]
        let name = "\(architecture).\(key)"
        guard try file.metadata.uniformInteger(name, in: Int.min...Int.max) != rows else { return }
        set(name, .integer(rows), "\(key) is \(rows), as \(tensor.name) has it")
    }

    /// Llama 3's first files did not say how their texts are cut.
    private mutating func planPreTokenizer() throws(FormatError) {
        let pre = "tokenizer.ggml.pre"
        guard file.metadata.entry(pre) == nil,
            file.metadata.entry("tokenizer.ggml.tokens")?.count == UInt64(Self.llama3TokenCount),
            try file.metadata.string("tokenizer.ggml.model") == "gpt2"
        else { return }
        set(pre, .text("llama-bpe"), "\(pre) is llama-bpe")
    }

    private mutating func set(_ key: String, _ value: GGUFEdit.Value, _ words: String) {
        let prefix = architecture + "."
        let name =
            newArchitecture.flatMap { new in
                key.hasPrefix(prefix) ? new + "." + key.dropFirst(prefix.count) : nil
            } ?? key
        values[name] = value
        self.words.append(words)
    }
}

extension TensorNames {
    /// A layer's tensor's name without the layer.
    fileprivate static func stem(of name: String) -> String {
        String(name.split(separator: ".", maxSplits: 2).last ?? "")
    }
}
