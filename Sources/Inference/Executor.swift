// Who computes: the kernels that this processor has, the team that runs them, and how long that
// took. Knows buffers, no layers and no weights.

package import Compute
package import LinuxSystem

/// Runs operations one after the other. Lives on one thread, which is member 0 of its team.
package final class Executor {
    let kernels: Kernels
    package let team: ComputeTeam
    /// Time in products, attention and neurons, all steps together.
    package private(set) var computeNanoseconds: UInt64 = 0

    package init(kernels: Kernels, team: ComputeTeam) {
        self.kernels = kernels
        self.team = team
    }

    /// Counts the time since `start` (``MonotonicClock``) as computing.
    func count(since start: UInt64) { computeNanoseconds += MonotonicClock.nanoseconds - start }

    /// Computes products that were collected, as one operation of the team.
    func multiply(_ products: inout ProductGroup) { kernels.multiply(&products, team: team) }

    /// Quantises `rows` rows of `input`, for formats that multiply by 8 bits.
    func prepare(_ input: inout ProductInput, rows: Int, columns: Int) {
        kernels.prepare(&input, tokens: rows, columns: columns, team: team)
    }
}

/// Neighbouring rows of the residual stream on their way through a norm.
struct NormedRows {
    /// Of the residual stream.
    let rows: Range<Int>
    /// The first of the rows that are added before; nil adds none.
    let addedFrom: Int?
    /// Where the first of the results goes.
    let target: Int
}

/// Tokens of one sequence in a wave.
struct ChunkRows {
    /// Their rows.
    var tokens: Range<Int>
    /// Where the first one's angles begin.
    let firstAngle: Int
    var firstPosition: Int
    /// How far their positions are beyond their places in the pages.
    var positionOffset = 0
    /// Memory that holds their pages.
    let pool: MemoryArena
    /// The byte there where the page of each 64 positions starts.
    var pageOffsets: [Int]
    /// The page of all these tokens, where the format takes whole pages only.
    var openPage: OpenPage?
}
