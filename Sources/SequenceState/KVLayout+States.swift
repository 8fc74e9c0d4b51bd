// How states of layers that have no keys and values lie beside the pages: of each sequence all
// layers' in one piece, as long as it is open; and of each that is remembered.

internal import LinuxSystem
package import ModelFormat

/// Where each layer's state is in a sequence's.
package struct StateLayout: Sendable, Equatable {
    /// Of each layer, the first byte; nil where it has none.
    package let offsets: [Int?]
    /// Of all layers; 0 where none has any.
    package let byteCount: Int
    /// Sequences that have one at once, those that are remembered included.
    package internal(set) var count = 0

    package init(_ shape: ModelShape) {
        var end = 0
        offsets = shape.recurrents.map { mixer in
            guard let mixer else { return nil }
            defer {
                end += MemoryArena.footprint(
                    mixer.stateCount(width: shape.width) * MemoryLayout<Float>.stride)
            }
            return end
        }
        byteCount = end
    }
}

extension KVLayout {
    /// Whether sequences have a state, which cannot be taken back.
    package var hasStates: Bool { states.byteCount > 0 }

    /// The same with memory for the states of so many sequences.
    package func withStates(_ count: Int) -> Self {
        var layout = self
        layout.states.count = hasStates ? count : 0
        return layout
    }

    /// Bytes of all sequences' states.
    package var stateBytes: Int { states.count * states.byteCount }

    /// Bytes that are no pages of the pool.
    var fixedBytes: Int { stateBytes + openBytes }
}
