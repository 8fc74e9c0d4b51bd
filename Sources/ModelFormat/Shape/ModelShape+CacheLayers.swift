// What of a model the KV cache has pages of: layers with attention, those with many heads in parts,
// so that a page of one size fits all.

/// Heads of a layer whose keys and values of 64 tokens are a page.
package struct CacheLayer: Sendable, Equatable {
    /// Heads of keys and values.
    package let headCount: Int
    package let keyHeadWidth: Int
    package let valueHeadWidth: Int
    /// Positions that a token sees at most; nil is all before it.
    package let window: Int?

    /// Whether pages of both hold the same.
    package func hasHeads(of other: CacheLayer) -> Bool {
        headCount == other.headCount && keyHeadWidth == other.keyHeadWidth
            && valueHeadWidth == other.valueHeadWidth
    }
}

extension ModelShape {
    /// The KV cache's layers: each layer's with attention, in order; several where its heads are
    /// parts of which each is about what other layers have.
    package var cacheLayers: [CacheLayer] {
        zip(attentions, cacheParts).flatMap { attention, parts in
            Array(
                repeating: CacheLayer(
                    headCount: attention.keyValueHeadCount / parts,
                    keyHeadWidth: attention.keyHeadWidth, valueHeadWidth: attention.valueHeadWidth,
                    window: attention.window),
                count: parts)
        }
    }

    /// The numbers of a layer's own among those; none where it has no attention.
    package func cacheLayers(of layer: Int) -> Range<Int> {
        var attention = 0
        for earlier in layers[..<layer] where earlier.mixer.isAttention { attention += 1 }
        let parts = cacheParts
        let first = parts[..<attention].reduce(0, +)
        return first..<first + (layers[layer].mixer.isAttention ? parts[attention] : 0)
    }

    /// Whether what a token looks at is told by keys alone, and alike in all layers.
    package var choosesByKeys: Bool {
        let layers = cacheLayers
        return latents.isEmpty && layers.count == attentions.count
            && layers.allSatisfy { $0.hasHeads(of: layers[0]) }
    }

    /// In how many parts each attention's heads are. A page holds what a layer that sees all has of
    /// 64 tokens, as these decide what a long text takes; one with a window that has more is in as
    /// few equal parts as fit.
    private var cacheParts: [Int] {
        let attentions = attentions
        let whole = attentions.filter { $0.window == nil }.map(\.cachedNumbers)
        let heads = attentions.map { $0.cachedNumbers / $0.keyValueHeadCount }
        let most = (whole.isEmpty ? attentions.map(\.cachedNumbers) : whole + heads).max() ?? 1
        return attentions.map { attention in
            let heads = attention.keyValueHeadCount
            return (1...heads).first {
                heads % $0 == 0 && attention.cachedNumbers / $0 <= most
            } ?? heads
        }
    }
}

extension AttentionMixer {
    /// Of a token.
    fileprivate var cachedNumbers: Int { keyWidth + valueWidth }
}

extension MixerShape {
    fileprivate var isAttention: Bool {
        switch self {
        case .attention, .latent: true
        case .recurrent, .none: false
        }
    }
}
