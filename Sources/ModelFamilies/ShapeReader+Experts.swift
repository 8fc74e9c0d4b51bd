// `expert_*`: mixtures of experts.

internal import ModelFormat

extension ShapeReader {
    /// The mixture of layers that have one; nil for dense models.
    func mixture(_ traits: DecoderTraits) throws(FormatError) -> MixtureShape? {
        let count = try uniform("expert_count", 0...Self.expertsMax) ?? 0
        guard count > 0 else {
            guard traits.experts != .required else { throw metadata.missing(key("expert_count")) }
            return nil
        }
        guard traits.experts != .none else {
            throw wrong("expert_count", expected: "no experts in this family", found: "\(count)")
        }
        let used = try requiredUniform("expert_used_count", 1...count)
        let width = try expertWidth(used: used, traits)
        var mixture = MixtureShape(
            count: count, usedCount: used, width: width, activation: traits.activation,
            gating: try gating() ?? traits.gating,
            normalizesWeights: try metadata.bool(key("expert_weights_norm"))
                ?? traits.normalizesExpertWeights)
        mixture.weightsScale = try weightsScale()
        if !traits.isGated { mixture.isPlain = true }
        mixture.shared = try sharedExpert(expertWidth: width, traits)
        try readGroups(of: &mixture)
        return mixture
    }

    /// `expert_group_*`: 0 and 1 group stand for none, and whoever keeps all chooses among all.
    private func readGroups(of mixture: inout MixtureShape) throws(FormatError) {
        let (countName, usedName) = ("expert_group_count", "expert_group_used_count")
        let count = try uniform(countName, 0...Self.expertsMax) ?? 0
        guard count > 1 else { return }
        // A group's score is the sum of its two best.
        guard mixture.count % count == 0, mixture.count / count > 1 else {
            throw wrong(
                countName,
                expected: "groups of equally many of the \(mixture.count) experts, two or more",
                found: "\(count)")
        }
        let used = try requiredUniform(usedName, 1...count)
        guard used * (mixture.count / count) >= mixture.usedCount else {
            throw wrong(
                usedName,
                expected: "groups that hold the \(mixture.usedCount) experts used",
                found: "\(used) of \(mixture.count / count)")
        }
        guard used < count else { return }
        (mixture.groupCount, mixture.groupUsedCount) = (count, used)
    }

    /// Mixtral and OLMoE give their experts' width as `feed_forward_length`. Qwen's files have a
    /// key of their own; where it is missing llama.cpp divides.
    private func expertWidth(
        used: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> Int {
        let range = 1...Self.feedForwardWidthMax
        guard traits.hasExpertWidthKey else {
            return try requiredUniform("feed_forward_length", range)
        }
        let name = "expert_feed_forward_length"
        if let width = try uniform(name, 0...Self.feedForwardWidthMax), width > 0 { return width }
        let total = try requiredUniform("feed_forward_length", range)
        guard total % used == 0 else {
            throw wrong(
                "feed_forward_length", expected: "a multiple of the \(used) experts used",
                found: "\(total)")
        }
        return total / used
    }

    private func sharedExpert(
        expertWidth: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> MixtureShape.SharedExpert? {
        let range = 0...Self.feedForwardWidthMax
        let width = try uniform("expert_shared_feed_forward_length", range) ?? 0
        switch traits.sharedExpert {
        case .none: return nil
        case .whereNamed:
            return width > 0 ? MixtureShape.SharedExpert(width: width, hasGate: false) : nil
        case .plain, .gated:
            let own =
                width > 0
                ? width : try requiredUniform("feed_forward_length", 1...Self.feedForwardWidthMax)
            return MixtureShape.SharedExpert(
                width: own, hasGate: traits.sharedExpert == .gated)
        case .counted:
            let count = try uniform("expert_shared_count", 0...Self.expertsMax) ?? 0
            guard count > 0 else { return nil }
            let all = count * (width > 0 ? width : expertWidth)
            return MixtureShape.SharedExpert(width: all, hasGate: false)
        }
    }

    /// Nil where the file does not say.
    private func gating() throws(FormatError) -> MixtureShape.Gating? {
        let name = "expert_gating_func"
        switch try uniform(name, 0...Int(UInt32.max)) ?? 0 {
        case 0: return nil
        case 1: return .softmax
        case 2: return .sigmoid
        case 3: return .softmaxOfChosen
        case 4: return .rootOfSoftplus
        case let value:
            throw wrong(
                name,
                expected: "1 (softmax), 2 (sigmoid), 3 (softmax of the chosen) or 4 (root of "
                    + "softplus)", found: "\(value)")
        }
    }

    /// 0 stands for "no scale", as in llama.cpp.
    private func weightsScale() throws(FormatError) -> Float {
        let scale = try float("expert_weights_scale", 0...1_000_000) ?? 0
        return scale == 0 ? 1 : scale
    }
}
