// Whether a model on disk is still the one that was loaded.

internal import LinuxSystem
internal import Weights

/// The files that a model is loaded from, as they are at one time. Saved popularity is none of
/// them: a running model writes it itself.
struct ModelIdentity: Equatable {
    /// Nil where there is no such file.
    let packed: FileIdentity?
    let predictors: FileIdentity?
    let thresholds: FileIdentity?

    init(path: String) {
        packed = try? FileIdentity(path: path)
        predictors = try? FileIdentity(path: NeuronPredictors.path(of: path))
        thresholds = try? FileIdentity(path: FiringThresholds.path(of: path))
    }
}

extension ModelInstance {
    /// Whether loading the same path now would give the same model.
    package var isCurrent: Bool { ModelIdentity(path: path) == identity }
}
