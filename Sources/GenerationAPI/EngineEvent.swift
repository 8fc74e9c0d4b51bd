// What the engine tells about itself while it runs: for logs and for the status of a service.
// Nothing here holds what a client wrote.

/// Something worth a line in a log. Told on the engine's thread, after its state has changed.
package enum EngineEvent: Sendable {
    case loading(model: String)
    case loaded(LoadReport)
    /// `problem` is what the client that asked was told, but for the file's place.
    case loadFailed(model: String, problem: GenerationError)
    /// `orders` is how many it served; whether another is to have its memory.
    case unloaded(model: String, orders: Int, forAnother: Bool)
    /// Weights could not be read, or were not those that were packed.
    case readFailed(model: String, problem: String)
}

/// A model that was loaded, and how it will be used.
package struct LoadReport: Sendable, Equatable {
    /// A name and a value for a log.
    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var model: String
    package var architecture: String
    package var fileBytes: UInt64
    package var seconds: Double
    /// What is taken of the memory limit, and the limit.
    package var budgetBytes: Int
    package var limitBytes: Int
    /// The longest prompt and answer together.
    package var contextTokens: Int
    /// How weights are read, in the order of their kinds.
    package var reading: [Field]
    /// What became of knobs: names of profiles' keys, and what holds of them.
    package var settings: [Field] = []

    package init(
        model: String, architecture: String, fileBytes: UInt64, seconds: Double, budgetBytes: Int,
        limitBytes: Int, contextTokens: Int, reading: [Field]
    ) {
        self.model = model
        self.architecture = architecture
        self.fileBytes = fileBytes
        self.seconds = seconds
        self.budgetBytes = budgetBytes
        self.limitBytes = limitBytes
        self.contextTokens = contextTokens
        self.reading = reading
    }
}
