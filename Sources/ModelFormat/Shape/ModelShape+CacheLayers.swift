// What of a model the KV cache has pages of: layers with attention, those with many heads in parts,
// so that a page of one size fits all.

/// Heads of a layer whose keys and values of 64 tokens are a page.
package struct CacheLayer: Sendable, Equatable {
    /// Heads of keys and values.
    package let headCount: Int
    package let keyHeadWidth: Int
    package let valueHeadWidth: Int
    /// Positions that are kept: those that a token sees at most; nil is all before it.
    package let window: Int?

    /// Whether pages of both hold the same.
    package func hasHeads(of other: CacheLayer) -> Bool {
        headCount == other.headCount && keyHeadWidth == other.keyHeadWidth
            && valueHeadWidth == other.valueHeadWidth
    }
}

extension ModelShape {
    /// The KV cache's layers: each layer's with keys of its own, in order; several where its heads
    /// are parts of which each is about what other layers have.
    ///
    /// What later layers read too is kept whole, whatever its window: where a prompt's layers are
    /// computed one after the other, they come to its beginning when its end has been stored.
    package var cacheLayers: [CacheLayer] {
        let read = Set(layers.compactMap(\.mixer.keyValueLayer))
        return zip(cachedAttentions, cacheParts).flatMap { cached, parts in
            let attention = cached.attention
            return Array(
                repeating: CacheLayer(
                    headCount: attention.keyValueHeadCount / parts,
                    keyHeadWidth: attention.keyHeadWidth, valueHeadWidth: attention.valueHeadWidth,
                    window: read.contains(cached.layer) ? nil : attention.window),
                count: parts)
        }
    }

    /// The numbers among those of the layer's keys that `layer` reads, mostly its own; none where
    /// it has no attention.
    package func cacheLayers(of layer: Int) -> Range<Int> {
        let source = layers[layer].mixer.keyValueLayer ?? layer
        let parts = cacheParts
        let place = cachedAttentions.firstIndex { $0.layer >= source } ?? parts.count
        let first = parts[..<place].reduce(0, +)
        return first..<first + (layers[source].mixer.isAttention ? parts[place] : 0)
    }

    /// Whether layers read keys and values of earlier ones.
    package var sharesKeys: Bool { layers.contains { $0.mixer.keyValueLayer != nil } }

    /// How keys and values are kept where that is wished for. What later layers read too is not
    /// packed by whole pages: those would find a page packed or not as its tokens come together or
    /// one by one.
    package func keyValueFormat(wished: KVFormat) -> KVFormat {
        guard sharesKeys, wished.takesWholePages else { return wished }
        return KVFormat(keys: max(wished.keys, .eight), values: max(wished.values, .four))
    }

    /// The attention of each layer that has keys of its own.
    private var cachedAttentions: [(layer: Int, attention: AttentionMixer)] {
        layers.enumerated().compactMap { index, layer in
            guard layer.mixer.keyValueLayer == nil else { return nil }
            return layer.mixer.attention.map { (index, $0) }
        }
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
        let attentions = cachedAttentions.map(\.attention)
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
    fileprivate var isAttention: Bool { attention != nil }

    /// The layer whose keys and values are read where they are not this one's.
    package var keyValueLayer: Int? {
        if case .attention(let attention) = self { attention.keyValueLayer } else { nil }
    }
}
