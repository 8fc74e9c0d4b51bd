// Where an engine finds models by the names that orders give.

/// Finds models by name. The library implements it.
package protocol ModelCatalog: Sendable {
    /// All models, sorted by name; `isLoaded` is false.
    func models() throws(GenerationError) -> [ModelSummary]

    /// The file of a model; nil names the default one.
    func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String)
}
