// All that a division follows from beside the model, its wishes and its share: learnt before
// anything is decided, and not asked again.

internal import Compute
package import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import Tokenization
internal import Weights

/// What is known of a model's drive and of its neurons.
package struct Knowledge: Sendable {
    /// The drive's and memory's, as far as they were measured.
    package var speeds = MachineSpeeds()
    /// How neurons are read.
    var reads = NeuronReads(gapBytesMax: 0, blockBytes: 4096)
    /// What calibration keeps beside the model: nil where there is none, or it is of no use here.
    var predictors: Result<NeuronPredictors?, SidecarError> = .success(nil)
    var thresholds: Result<FiringThresholds?, SidecarError> = .success(nil)

    /// What calibration counted, as far as it can be used: exact decoding does not depend on it.
    var calibration: NeuronPredictors? { (try? predictors.get()) ?? nil }
}

extension Knowledge {
    /// Learns what there is to know of the packed file at `path`. A drive that nobody knows is
    /// measured now, where that is allowed, in what the model's share leaves: nothing else has
    /// that memory yet.
    init(of model: ParsedModel, path: String, share: MemoryPlan, _ options: ModelOptions) {
        if let tuner = options.flash.tuner {
            let left = share.leftBytes - model.tokenizer.residentBytes
            _ = tuner.tuned(
                options.flash, path: path,
                memoryBytes: max(0, min(left, Int(clamping: model.model.fileByteCount))))
            tuner.learnProducts(threads: options.threads) {
                try? ProductProbe.multiplyAddsPerSecond(
                    team: ComputeTeam(memberCount: options.threads),
                    in: MemoryLedger(limitBytes: MemoryLedger.processBytes + max(0, left)))
            }
            speeds = tuner.speeds(forFile: path)
        }
        let manifest = model.model.manifest
        guard manifest.neurons != nil else { return }
        reads = NeuronReads(
            gapBytesMax: speeds.gapBytesMax ?? options.flash.gapBytesMax,
            blockBytes: (try? FlashFile.blockBytes(path: path, options: options.flash)) ?? 4096,
            readsWholeBundles: model.model.seal != nil)
        let digest = manifest.source.digest
        predictors = Result { () throws(SidecarError) in
            try NeuronPredictors.sidecar(besides: path, digest: digest)
                .read(for: manifest.shape)
        }
        thresholds = Result { () throws(SidecarError) in
            try FiringThresholds.sidecar(besides: path, digest: digest)
                .read(for: manifest.shape.layerCount)
        }
    }
}
