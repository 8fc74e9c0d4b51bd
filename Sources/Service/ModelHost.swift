// The real service: the engine over a library of models, as the configuration describes it.

internal import FlashStorage
internal import GenerationAPI
internal import Knobs
internal import Library
package import LinuxSystem
package import Memory
internal import Models
package import Serving

/// Orders go to the engine; the daemon's end gives its thread and its memory back.
extension Engine: StoppableService {
    package var heldMemory: MemoryPlan? { ledger?.held }
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
    options.model.keepMemoryForClients()
    options.model.keepsPopularity = true
    options.model.sequencesMax = profile.service.sessionsMax
    options.keepAlive =
        profile.service.keepAliveSeconds.map { .seconds(Double($0)) } ?? .untilNeeded
    options.stepTokens = profile.generation.stepTokens
    options.model.keepPrefixes(as: profile.keyValues)
    let ledger = options.model.openLedger()
    let onNotice: @Sendable (String) -> Void = { log.notice($0) }
    options.model.onNotice = onNotice
    let library = configuration.library
    options.model.flash.tuner = DriveTuner(
        file: MeasurementsFile(path: configuration.measurementsPath), fixed: profile.flash,
        neighbours: { library.neighbours(of: $0) }, measures: true, in: ledger,
        onNotice: onNotice)
    options.queueMax = profile.service.queueMax
    options.onEvent = { log.receive($0) }
    let catalog = LibraryCatalog(
        library: configuration.library, defaultModel: profile.service.defaultModel)
    return try Engine(catalog: catalog, options: options)
}
