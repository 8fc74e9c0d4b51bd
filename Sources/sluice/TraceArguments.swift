// `--trace`: which experts a run's tokens chose, for the cache simulator.

internal import ArgumentParser
internal import Measurement
internal import Models

struct TraceArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Write which experts each token chose; cache-simulator replays it.",
            valueName: "file"))
    var trace: String?

    /// Records what `body` runs, when there is something to record to.
    ///
    /// - Throws: what `body` throws, `ValidationError` for a model without experts, `SystemError`
    ///   when the trace cannot be written.
    func recording<Result>(_ model: ModelInstance, _ body: () throws -> Result) throws -> Result {
        guard let trace else { return try body() }
        guard let shape = model.routingShape else {
            throw ValidationError("--trace is for mixtures of experts, which this model is not")
        }
        let writer = try RoutingTraceWriter(path: trace, shape: shape)
        model.recordRouting(to: writer)
        defer { model.recordRouting(to: nil) }
        let result = try body()
        try writer.finish()
        return result
    }
}
