// Memory for drafts: rows of logits to verify them with, and the trie that they come from. A small
// share of the limit, and only where speculation may be used.

package import Inference
internal import Knobs
internal import Memory
internal import ModelFormat
internal import Weights

/// What speculation may use.
package struct SpeculationRoom: Sendable, Equatable {
    /// Most drafts of a pass; 0 is no speculation.
    package var draftsMax = 0
    /// Tokens of the text that drafts are looked for in.
    package var windowTokens = 0

    var bytes: Int { draftsMax == 0 ? 0 : DraftTrie.byteCount(windowTokens: windowTokens) }
}

extension DivisionProblem {
    /// The division with room for drafts where the policy wants some and there is memory for them.
    func speculating(_ choice: DivisionChoice) throws(LoadError) -> Division {
        let plain = try asked(choice)
        // A state is not taken back behind a draft that was wrong.
        if shape.isRecurrent { return plain }
        var choice = choice
        if wishes.contextTokensWanted != nil { choice.contextTokens = plain.contextTokens }
        switch wishes.speculation {
        case .off: return plain
        case .automatic:
            guard plain.plan.streamsDense, plain.plan.sparse == nil else { return plain }
            return plain.widened(self, choice, plain.automaticRoom(manifest)) {
                $0.activations.tokensMax == plain.activations.tokensMax
                    && $0.contextTokens == plain.contextTokens
            }
        case .upTo(let count):
            let room = SpeculationRoom(draftsMax: count, windowTokens: plain.contextTokens)
            return plain.widened(self, choice, room) { _ in true }
        }
    }
}

extension Division {
    /// Most drafts of a pass that nobody asked for: what a pass over streamed weights computes
    /// while it waits for them, and what the smallest step holds.
    private static let draftsMax = 7
    /// The share of the limit that drafts take when nobody asked for them: what is not streamed for
    /// want of it costs every token as much time.
    private static let speculationShareDivisor = 128
    private static let windowTokensMin = 64

    /// What fits the share of drafts that nobody asked for: at most a quarter is the trie's.
    fileprivate func automaticRoom(_ manifest: PackedManifest) -> SpeculationRoom {
        let bytesMax = budget.limitBytes / Self.speculationShareDivisor
        var room = SpeculationRoom(
            draftsMax: Self.draftsMax,
            windowTokens: min(contextTokens, DraftTrie.windowTokensMax))
        while room.bytes > bytesMax / 4, room.windowTokens / 2 >= Self.windowTokensMin {
            room.windowTokens /= 2
        }
        while room.draftsMax > 0, room.bytes + rowBytes(room, manifest) > bytesMax {
            room.draftsMax -= 1
        }
        return room
    }

    /// Bytes of the logits and their inputs for drafts.
    private func rowBytes(_ room: SpeculationRoom, _ manifest: PackedManifest) -> Int {
        func bytes(_ rows: Int) -> Int {
            ActivationShape(
                manifest.shape, bundlesNeurons: manifest.neurons != nil,
                tokensMax: activations.tokensMax, passTokensMax: 0, logitsRowsMax: rows,
                contextTokens: contextTokens
            ).byteCount
        }
        return bytes(1 + room.draftsMax) - bytes(1)
    }

    /// The same with `room`, or with the largest part of it that is not refused.
    fileprivate func widened(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ room: SpeculationRoom,
        isWelcome: (Self) -> Bool
    ) -> Self {
        var room = room
        while room.draftsMax > 0 {
            var wider = choice
            wider.logitsRowsMax = max(choice.logitsRowsMax, 1 + room.draftsMax)
            wider.speculationRoom = room
            if let division = try? Division(problem, wider), isWelcome(division),
                division.activations.logitsRowsMax > room.draftsMax
            {
                return division
            }
            room.draftsMax -= 1
        }
        return self
    }
}

extension ModelInstance {
    /// How the model's sessions speculate.
    package var speculation: SpeculationControl {
        SpeculationControl(policy: options.speculation, draftsMax: speculationRoom.draftsMax)
    }

    /// As far back as a session of at most `tokens` looks for drafts; nil where nothing is drafted.
    package func draftWindowTokens(of tokens: Int) -> Int? {
        speculationRoom.draftsMax == 0 ? nil : min(tokens, speculationRoom.windowTokens)
    }
}
