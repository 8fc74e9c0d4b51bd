// How a store reads: what became of knobs that the drive, the file and the kernel have a say in.

internal import FlashStorage
internal import Knobs

extension WeightStore {
    /// Names of profiles' keys, and what holds of them now.
    package var settings: [(name: String, value: String)] {
        let reader = reads.reader
        return [
            ("reader", reader.kind), ("queue_depth", "\(reader.queueDepth)"),
            ("read_bytes_max", "\(reader.limits.pieceBytesMax)"),
            ("gap_bytes_max", "\(reads.gapBytesMax)"),
            ("read_bytes_min", "\(reader.blockBytes())"),
            ("read_seconds_max", "\(reader.limits.stallNanosecondsMax / 1_000_000_000)"),
            ("prefetch_max", "\(experts.prefetchesMax)"),
            ("verify", reads.verifier.policy.rawValue)
        ]
    }
}
