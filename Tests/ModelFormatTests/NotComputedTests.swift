// What a shape can say and nothing computes is refused by name, not ignored.

import ModelFormat
import TestSupport
import Testing

@Suite struct NotComputedTests {
    private static let plain = ModelShape.alike(
        layerCount: 3, width: 64, attention: .rotating(heads: 4, keyValueHeads: 2, width: 16),
        feedForward: FeedForwardShape(DenseShape(width: 96, activation: .silu, isGated: true)))
    private static let mixture = MixtureShape(
        count: 4, usedCount: 2, width: 32, activation: .silu, gating: .softmax,
        normalizesWeights: true)

    private func expect(_ words: String, _ change: (inout ModelShape) -> Void) {
        var shape = Self.plain
        #expect(shape.notComputed == nil)
        change(&shape)
        #expect(shape.notComputed?.contains(words) == true, "\(shape.notComputed ?? "computed")")
    }

    @Test func attentionOfEveryKind() {
        expect("whole projections after the rotary") {
            $0.changeAttention {
                $1.normsRotated = true
                $1.headNorm = .wholeProjection
            }
        }
        expect("values that are keys of another width") {
            $0.changeAttention {
                $1.valuesAreKeys = true
                $1.valueHeadWidth = 2 * $1.keyHeadWidth
            }
        }
        for source in [-1, 1, 2, 3] {
            expect("has none like them (layer 1)") {
                $0.changeAttention { if $0 == 1 { $1.keyValueLayer = source } }
            }
        }
        expect("has none like them (layer 2)") {
            $0.changeAttention { if $0 > 0 { $1.keyValueLayer = $0 - 1 } }
        }
        expect("has none like them (layer 2)") {
            $0.changeAttention {
                if $0 == 2 { ($1.keyValueLayer, $1.window) = (0, 32) }
            }
        }
        expect("biases of keys of another") {
            $0.changeAttention {
                if $0 == 2 { ($1.keyValueLayer, $1.biases.key) = (0, true) }
            }
        }
        expect("nothing (layer 1)") {
            $0.layers[1].mixer = .none
            $0.layers[1].feedForward = .none
        }
        expect("what a layer of one half adds") {
            $0.layers[1].mixer = .none
            $0.layers[1].norms = .around
        }
        expect("heads of keys that differ") {
            var more = AttentionMixer.rotating(heads: 4, keyValueHeads: 4, width: 16)
            (more.window, more.hasSinks) = (32, true)
            $0.layers[1].mixer = .attention(more)
        }
    }

    @Test func networksOfEveryKind() {
        expect("beside a dense network without norms") {
            $0.layers[0].feedForward.mixture = Self.mixture
        }
        expect("mixtures that differ") { shape in
            shape.changeLayers { $0.feedForward = .init(Self.mixture) }
            shape.layers[1].feedForward.mixture?.usedCount = 1
        }
        expect("activations that differ") {
            $0.layers[2].feedForward = .init(Self.mixture)
            $0.layers[2].feedForward.mixture?.activation = .gelu
        }
        expect("activations that differ") { $0.layers[2].feedForward.dense?.activation = .relu }
        for (words, change) in [
            ("router that reads", { $0.routerInput = .scaled })
        ] as [(String, (inout MixtureShape) -> Void)] {
            var mixture = Self.mixture
            change(&mixture)
            expect(words) { $0.changeLayers { $0.feedForward = .init(mixture) } }
        }
    }

    /// Some layers may be mixtures, some of those with biases where experts are chosen.
    @Test func mixturesInSomeLayers() {
        var shape = Self.plain
        shape.layers[2].feedForward = .init(Self.mixture)
        #expect(shape.notComputed == nil && shape.mixtures.map(\.layer) == [2])
        shape.layers[0].feedForward = .init(Self.mixture)
        shape.layers[0].feedForward.mixture?.hasSelectionBias = true
        #expect(shape.notComputed == nil && shape.mixtures.map(\.layer) == [0, 2])
    }

    @Test func layersOfEveryKind() {
        expect("bounded gate in a dense") {
            $0.changeLayers { $0.feedForward.dense?.activation = .swigluOAI }
        }
        expect("a norm and a scale of what experts add") {
            $0.changeLayers {
                $0.feedForward = .init(Self.mixture)
                $0.norms = .around
                $0.residualScale = 0.5
            }
        }
        expect("beside the feed-forward") { $0.layers[0].wiring = .parallel }
        expect("one half of a layer") { $0.layers[0].norms.afterMixer = true }
    }
}
