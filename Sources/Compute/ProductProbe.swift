// How fast this processor multiplies matrices with the activations of many tokens: the limit that
// prompts run into where weights are not waited for.

package import LinuxSystem
package import Memory
internal import ModelFormat

/// Measures products of many tokens.
package enum ProductProbe {
    private static let format = WeightFormat.q4_0
    private static let rows = 1024
    private static let columns = 1024
    /// As many as layers compute together.
    private static let tokens = 64
    private static let passesMin = 4
    private static let nanosecondsMin: UInt64 = 10_000_000

    /// Multiply-adds per second that all members of `team` together do: the median of a few
    /// products of a matrix of 4-bit weights that caches hold.
    ///
    /// Takes a megabyte and a half of what `ledger` has left, and some ten milliseconds.
    ///
    /// - Throws: `SystemError` where there is no memory for that.
    package static func multiplyAddsPerSecond(
        team: ComputeTeam, in ledger: MemoryLedger
    ) throws(SystemError) -> Double {
        let weightBytes = format.tiledBytes(rows: rows, columns: columns)
        let outputs = tokens * rows
        let arena = try MemoryArena(
            byteCount: weightBytes + ProductInput.footprint(tokensMax: tokens, columnsMax: columns)
                + Buffer<Float>.footprint(count: outputs),
            for: .measuring, in: ledger)
        let region = unsafe arena.allocate(byteCount: weightBytes)
        // Scales of nothing, as they may be: what numbers a product has does not change its time.
        unsafe region.initializeMemory(as: UInt8.self, repeating: 0)
        var input = ProductInput(tokensMax: tokens, columnsMax: columns, in: arena)
        for index in 0..<tokens * columns { input.floats[index] = Float(index % 251) / 125 - 1 }
        var output = Buffer<Float>(count: outputs, in: arena)
        let kernels = Kernels.best
        var times: [UInt64] = []
        let start = MonotonicClock.nanoseconds
        while times.count < passesMin || MonotonicClock.nanoseconds - start < nanosecondsMin {
            let before = MonotonicClock.nanoseconds
            kernels.prepare(&input, tokens: tokens, columns: columns, team: team)
            var results = output.mutableSpan
            kernels.multiply(
                arena.bytes(at: 0, byteCount: weightBytes), format: format, rows: rows,
                columns: columns, by: input, tokens: tokens, into: &results, rowOffset: 0,
                outputStride: rows, team: team)
            times.append(MonotonicClock.nanoseconds - before)
        }
        let median = times.sorted()[times.count / 2]
        return Double(rows * columns * tokens) * 1e9 / Double(max(1, median))
    }
}
