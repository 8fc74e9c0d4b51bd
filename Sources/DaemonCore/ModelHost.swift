// The real service: the engine over a library of models, as the configuration describes it.

package import LinuxSystem
package import Scheduling
internal import WeightStore

/// Orders go to the engine; the daemon's end gives its thread and its memory back.
extension Engine: StoppableService {}

/// The library as the engine sees it.
package struct LibraryCatalog: ModelCatalog {
    private let library: ModelLibrary
    private let defaultModel: String?

    /// - Parameter defaultModel: for orders that name none; nil is the library's only model.
    package init(library: ModelLibrary, defaultModel: String?) {
        self.library = library
        self.defaultModel = defaultModel
    }

    package func models() throws(GenerationError) -> [ModelSummary] {
        try entries().map {
            ModelSummary(
                name: $0.name, fileBytes: $0.bytes, modified: $0.modified, isLoaded: false)
        }
    }

    package func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String) {
        let wanted = name ?? defaultModel
        if let wanted, let entry = try? library.find(wanted) { return (entry.name, entry.path) }
        let entries = try entries()
        guard wanted == nil, entries.count == 1 else {
            throw .unknownModel(wanted, among: entries.map(\.name))
        }
        return (entries[0].name, entries[0].path)
    }

    private func entries() throws(GenerationError) -> [LibraryEntry] {
        do {
            return try library.list()
        } catch {
            throw GenerationError(.internalError, "\(error)")
        }
    }
}

/// One packed file as an engine's only model.
package struct FileCatalog: ModelCatalog {
    private let path: String

    package init(path: String) { self.path = path }

    package func models() throws(GenerationError) -> [ModelSummary] { [] }

    /// The file, whatever name is asked for.
    package func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String) {
        (path, path)
    }
}

extension ModelOptions {
    /// What a profile says about running models.
    package init(_ profile: Profile) {
        self.init()
        memoryBytesMax = profile.memory.budgetBytes.map { Int(clamping: $0) }
        if let threads = profile.compute.threads { self.threads = threads }
        contextTokensWanted = profile.generation.contextTokens
        sparse = profile.weights.sparse.mode
        activationSparsity = profile.weights.activationSparsity
        qualityLossMax = Double(profile.weights.qualityLossMax)
        keyValueBits = profile.keyValues.bits
        verification = profile.flash.verify
        prefillChunkTokens = profile.generation.prefillChunkTokens
        speculation = profile.generation.speculation
        if let depth = profile.flash.queueDepth { flash.queueDepth = depth }
        if let bytes = profile.flash.readBytesMin { flash.readBytesMin = Int(clamping: bytes) }
        if let bytes = profile.flash.gapBytesMax { flash.gapBytesMax = Int(clamping: bytes) }
        if let bytes = profile.flash.readBytesMax {
            flash.pieceBytesMax = Int(clamping: bytes)
        }
        flash.prefetchesMax = profile.flash.prefetchesMax
        flash.stallNanosecondsMax = UInt64(profile.flash.readSecondsMax) * 1_000_000_000
        flash.reader =
            switch profile.flash.reader {
            case .auto: .automatic
            case .ioUring: .ring
            case .pread: .threads
            }
    }
}

/// The engine that a configuration describes; `log` gets what it tells.
///
/// - Throws: `SystemError` when its thread cannot be started.
package func makeEngine(
    _ configuration: DaemonConfiguration, log: EngineLog
) throws(SystemError) -> Engine {
    let profile = configuration.profile
    var options = EngineOptions()
    options.model = ModelOptions(profile)
    options.model.connectionBytes =
        ConnectionBudget(memoryBytes: profile.memory.budgetBytes).byteCount
    options.model.keepsPopularity = true
    let onNotice: @Sendable (String) -> Void = { log.notice($0) }
    options.model.onNotice = onNotice
    let library = configuration.library
    options.model.flash.tuner = DriveTuner(
        file: MeasurementsFile(path: configuration.measurementsPath), fixed: profile.flash,
        neighbours: { library.neighbours(of: $0) }, measures: true, onNotice: onNotice)
    options.queueMax = profile.service.queueMax
    options.onEvent = { log.receive($0) }
    let catalog = LibraryCatalog(
        library: configuration.library, defaultModel: profile.service.defaultModel)
    return try Engine(catalog: catalog, options: options)
}
