// The end of a pass: the last norm, and a logit for each token of the vocabulary.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat

extension BufferName {
    fileprivate static let normed = Self("output, normed")
    fileprivate static let logits = Self("output, logits")
}

/// Computes logits for those tokens of a step that want them.
final class OutputHead {
    private let graph: ModelGraph
    private let executor: Executor
    private let products: Products
    private let workspace: Workspace
    /// Logits rows × width.
    private var normed: ProductInput
    /// Logits rows × vocabulary.
    private var logits: Buffer<Float>

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (rows, model) = (sizes.logitsRowsMax, sizes.model)
        buffers.add(.normed, .input(rows: rows, columns: model.width), .output)
        buffers.add(.logits, .floats(rows * model.vocabularySize), .output)
    }

    init(_ context: BlockContext) {
        graph = context.graph
        executor = context.executor
        products = context.products
        workspace = context.workspace
        normed = context.workspace.input(.normed)
        logits = context.workspace.floats(.logits)
    }

    /// Logits in the plan's order, from row 0 on.
    func run(_ plan: StepPlan, _ residual: inout ResidualStream) throws(ReadFailure) {
        workspace.enter(.output)
        var firstToken = 0
        var row = 0
        for chunk in plan.chunks {
            let count = chunk.logitsRowCount
            let end = firstToken + chunk.tokens.count
            if count > 0 {
                residual.normalize(
                    end - count..<end, by: graph.outputNorm, into: &normed, at: row)
            }
            firstToken = end
            row += count
        }
        try products.multiply(graph.output, by: normed, tokens: row, into: &logits)
        if let scale = graph.shape.logitScale {
            executor.scale(&logits, count: row * graph.shape.vocabularySize, by: scale)
        }
        if let cap = graph.shape.logitCap {
            executor.softCap(&logits, count: row * graph.shape.vocabularySize, cap)
        }
    }

    /// Calls `body` with a row of the last step's logits.
    func withLogits<Result>(row: Int, _ body: (Span<Float>) -> Result) -> Result {
        func call(_ logits: borrowing Buffer<Float>) -> Result {
            let count = graph.shape.vocabularySize
            return body(logits.span.extracting(row * count..<(row + 1) * count))
        }
        return call(logits)
    }
}
