// `ssm.*`: Mamba 2 in place of attention.

internal import ModelFormat

extension ShapeReader {
    /// The state space of a layer.
    func stateSpace(layer: Int) throws(FormatError) -> StateSpaceMixer {
        let heads = try requiredUniform("ssm.time_step_rank", 1...Self.headsMax)
        let inner = try requiredUniform("ssm.inner_size", 1...Self.widthMax)
        let groups = try requiredUniform("ssm.group_count", 1...heads)
        guard inner % heads == 0 else {
            throw wrong(
                "ssm.inner_size", expected: "a multiple of the \(heads) heads", found: "\(inner)")
        }
        guard heads % groups == 0 else {
            throw wrong(
                "ssm.group_count", expected: "a divisor of the \(heads) heads",
                found: "\(groups)")
        }
        return StateSpaceMixer(
            convolutionLength: try requiredUniform(
                "ssm.conv_kernel", PackedLimits.convolutionLengths),
            hasConvolutionBias: has(.convolutionBias, layer: layer), headCount: heads,
            headWidth: inner / heads, groupCount: groups,
            stateWidth: try requiredUniform("ssm.state_size", 1...Self.headWidthMax))
    }
}
