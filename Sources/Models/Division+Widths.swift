// What the KV pages of a model would hold at other widths.

package import ModelFormat
internal import SequenceState

/// A way of keeping keys and values, and what it comes to.
package struct KVWidth: Sendable, Equatable {
    package let format: KVFormat
    /// Of a number, in the mean, scales included.
    package let bitsEffective: Double
    /// Of a token in all layers without a window.
    package let tokenBytes: Int
    /// Positions that the same memory holds, up to the model's own.
    package let contextTokens: Int
    /// Whether it is what was divided for.
    package let isUsed: Bool
}

extension Division {
    /// Positions of the longest sequence whose keys and values are in memory at once: the latest
    /// ones; those before them are on flash.
    package var hotTokens: Int { layout.hotTokens(contextTokens, poolBytes: cacheBytes) }

    /// All widths at which keys and values are alike, and the one in use.
    package func keyValueWidths(_ shape: ModelShape) -> [KVWidth] {
        var formats = KVBits.allCases.sorted(by: >).map { KVFormat($0) }
        if !formats.contains(layout.format) { formats.append(layout.format) }
        return formats.filter { shape.keyValueFormat(wished: $0) == $0 }.map { format in
            let layout = layout.with(format)
            return KVWidth(
                format: format, bitsEffective: layout.bitsEffective,
                tokenBytes: layout.tokenBytes,
                contextTokens: layout.tokenCount(
                    bytesMax: cacheBytes, tokensMax: shape.contextLength),
                isUsed: format == self.layout.format)
        }
    }
}
