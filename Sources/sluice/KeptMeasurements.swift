// What `sluice tune`, or the daemon, measured before.

internal import FlashStorage
internal import Library
internal import LinuxSystem

extension Measurements {
    /// What is kept of the drive that holds the file at `path`, in the usual place; nil when
    /// nothing usable is.
    static func kept(forFile path: String) -> DriveProfile? {
        guard let device = try? BlockDevice.holding(path) else { return nil }
        return try? MeasurementsFile(path: Places().measurements).read().drive(device)?.profile
    }

    /// What is kept of memory's speed for so many threads; nil when nothing usable is.
    static func keptMemoryBytesPerSecond(threads: Int) -> Double? {
        let kept = try? MeasurementsFile(path: Places().measurements).read().memory
        return kept?.threads == threads ? kept?.bytesPerSecond : nil
    }
}
