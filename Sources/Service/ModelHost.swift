// The real service: the engine over a library of models, as the configuration describes it.

internal import FlashStorage
internal import GenerationAPI
package import Knobs
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
    var options = engineOptions(configuration)
    let ledger = options.model.openLedger()
    let onNotice: @Sendable (String) -> Void = { log.notice($0) }
    options.model.onNotice = onNotice
    options.onEvent = { log.receive($0) }
    options.model.flash.tuner = tuner(configuration, in: ledger, onNotice: onNotice)
    let catalog = LibraryCatalog(
        library: configuration.library, defaultModel: configuration.profile.service.defaultModel)
    return try Engine(catalog: catalog, options: options)
}

extension Engine {
    package func update(_ configuration: DaemonConfiguration, from before: Profile, log: Log) {
        var options = engineOptions(configuration)
        let onNotice: @Sendable (String) -> Void = { log.log(.info, $0) }
        options.model.onNotice = onNotice
        if let ledger {
            options.model.flash.tuner = tuner(configuration, in: ledger, onNotice: onNotice)
        }
        update(options, reopens: configuration.profile.opensModels(unlike: before))
    }
}

/// What a profile says of the engine.
private func engineOptions(_ configuration: DaemonConfiguration) -> EngineOptions {
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
    options.queueMax = profile.service.queueMax
    return options
}

/// Gets to know the library's drive.
private func tuner(
    _ configuration: DaemonConfiguration, in ledger: MemoryLedger,
    onNotice: @escaping @Sendable (String) -> Void
) -> DriveTuner {
    let library = configuration.library
    return DriveTuner(
        file: MeasurementsFile(path: configuration.measurementsPath),
        fixed: configuration.profile.flash, neighbours: { library.neighbours(of: $0) },
        measures: true, in: ledger, onNotice: onNotice)
}
