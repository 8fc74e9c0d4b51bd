// Rows of tables as a pass wants them: one for each token, more than can be read at once.

internal import FlashStorage
internal import ModelFormat
internal import Weights

extension WeightStore {
    /// Reads rows of a table, as many at a time as there is room for.
    ///
    /// - Parameters:
    ///   - rows: which, one for each token.
    ///   - firstRow: the first token's among the step's.
    ///   - body: is told which row of the step's, and its bytes as the table has them.
    func forEachRow(
        of table: RowTable, _ rows: [TokenID], from firstRow: Int, _ body: (Int, RawSpan) -> Void
    ) throws(ReadFailure) {
        let most = plan.embeddingWindowCount
        for first in stride(from: 0, to: rows.count, by: most) {
            let some = first..<min(first + most, rows.count)
            let lease = try embeddings.demand(rows.span.extracting(some), of: table)
            for index in some { body(firstRow + index, lease.row(index - first)) }
        }
    }
}
