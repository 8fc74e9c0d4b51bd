// How likely neurons are to fire: a layer's codes times the code of the network's input.

internal import CKernels
package import LinuxSystem
internal import ModelFormat

/// A layer's codes of its neurons, in the tiles that `ckernels_scores` defines.
package struct ScoreTiles: ~Escapable {
    let tiles: RawSpan
    let neurons: Int
    let fineRank: Int
    let coarseRank: Int

    /// - Parameters:
    ///   - tiles: whole tiles of 16 neurons.
    ///   - fineRank: coordinates that meet 4-bit codes; a multiple of 32, like `coarseRank`.
    ///   - coarseRank: coordinates that meet 2-bit codes.
    @_lifetime(copy tiles)
    package init(_ tiles: RawSpan, neurons: Int, fineRank: Int, coarseRank: Int) {
        self.tiles = tiles
        self.neurons = neurons
        self.fineRank = fineRank
        self.coarseRank = coarseRank
    }
}

extension Kernels {
    /// Log-odds that neurons fire: `y[t][n]` for each token's code.
    ///
    /// - Parameters:
    ///   - codes: `tokens` rows of `fineRank + coarseRank`, prepared.
    ///   - y: `[tokens][neurons]`.
    package func score(
        _ layer: borrowing ScoreTiles, by codes: borrowing ProductInput, tokens: Int,
        into y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        let rank = layer.fineRank + layer.coarseRank
        let tileBytes = ckernels_score_tile_bytes(layer.fineRank, layer.coarseRank)
        let tileCount = (layer.neurons + WeightFormat.tileRows - 1) / WeightFormat.tileRows
        guard tokens > 0, layer.neurons > 0 else { return }
        precondition(layer.fineRank % ProductInput.blockElements == 0)
        precondition(layer.coarseRank % ProductInput.blockElements == 0)
        precondition(codes.holds(tokens: tokens, columns: rank) && rank > 0)
        precondition(layer.tiles.byteCount >= tileCount * tileBytes)
        precondition(y.count >= tokens * layer.neurons)
        let parts = unsafe codes.pointers
        let job = unsafe ScoreJob(
            table: table,
            scores: ckernels_scores(
                tiles: layer.tiles.start, neurons: layer.neurons, fine: layer.fineRank,
                coarse: layer.coarseRank, tokens: tokens, quants: parts.quants,
                scales: parts.scales, sums: parts.sums, y: y.start),
            pieces: TilePieces(
                rows: layer.neurons, tileBytes: tileBytes, tokens: tokens,
                memberCount: team.memberCount))
        unsafe team.run(pieces: job.pieces.count, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: ScoreJob.self).pointee.run(piece: piece)
        }
    }
}

/// What the team's members need of scores. The pointers live as long as the call that made it.
@safe
private struct ScoreJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let scores: ckernels_scores
    let pieces: TilePieces

    init(table: UnsafePointer<ckernels_table>, scores: ckernels_scores, pieces: TilePieces) {
        unsafe self.table = table
        unsafe self.scores = scores
        self.pieces = pieces
    }

    func run(piece: Int) {
        let tiles = pieces.tiles(of: piece)
        var scores = unsafe scores
        unsafe table.pointee.score(&scores, tiles.lowerBound, tiles.upperBound)
    }
}
