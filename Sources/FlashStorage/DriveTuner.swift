// Reads split and queued as their drive likes it: from the profile, else from what was measured of
// the drive, else as built in. Nothing that goes wrong here keeps a model from running.

package import Knobs
package import LinuxSystem
package import Memory
internal import Synchronization

/// Knows drives by what is kept of them and, where it may, measures those it does not know.
///
/// The daemon measures when a model is first loaded from a drive: before that there may be nothing
/// to measure with, readiness does not wait for it, and the memory that the model's weights are
/// about to take is still free.
package final class DriveTuner: FlashTuner {
    private struct State {
        /// Drives measured by this process, also those that could not be kept.
        var measured: [BlockDevice: DriveProfile] = [:]
        var products: Measurements.Products?
        /// Complaints that were made.
        var complaints: Set<String> = []
    }

    private let file: MeasurementsFile
    private let fixed: Profile.Flash
    private let neighbours: @Sendable (String) -> [String]
    private let measures: Bool
    private let ledger: MemoryLedger
    private let onNotice: @Sendable (String) -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - fixed: what a profile says wins over what was measured.
    ///   - neighbours: other files that reads may go across while measuring.
    ///   - measures: whether drives that are not known are measured, in what `ledger` has left.
    ///   - onNotice: told in one line what was measured, or why not; each trouble once.
    package init(
        file: MeasurementsFile, fixed: Profile.Flash,
        neighbours: @escaping @Sendable (String) -> [String] = { _ in [] }, measures: Bool,
        in ledger: MemoryLedger, onNotice: @escaping @Sendable (String) -> Void
    ) {
        self.file = file
        self.fixed = fixed
        self.neighbours = neighbours
        self.measures = measures
        self.ledger = ledger
        self.onNotice = onNotice
    }

    package func tuned(
        _ options: FlashOptions, path: String, memoryBytes: Int
    ) -> FlashOptions {
        guard let device = try? BlockDevice.holding(path) else { return options }
        var profile = known(device)
        if measures, Self.isWorthMeasuring(profile, memoryBytes: memoryBytes),
            let new = measure(device, options, path: path, memoryBytes: memoryBytes)
        {
            profile = new
        }
        guard let profile else { return options }
        var options = options
        if fixed.queueDepth == nil { options.queueDepth = profile.choice.depth }
        if fixed.readBytesMax == nil { options.pieceBytesMax = profile.choice.readBytes }
        if !profile.isDirect { options.mayReadDirectly = false }
        if fixed.gapBytesMax == nil { options.gapBytesMax = profile.gapBytes }
        return options
    }

    package func speeds(forFile path: String) -> MachineSpeeds {
        let drive = (try? BlockDevice.holding(path)).flatMap(known)
        let kept = try? file.read()
        let products = state.withLock { $0.products } ?? kept?.products
        let gap = fixed.gapBytesMax.map { Int(clamping: $0) }
        return MachineSpeeds(
            drive: drive, memoryBytesPerSecond: kept?.memory?.bytesPerSecond,
            multiplyAddsPerSecond: products?.multiplyAddsPerSecond,
            gapBytesMax: gap ?? drive?.gapBytes)
    }

    package func learnProducts(threads: Int, _ measure: () -> Double?) {
        guard measures else { return }
        let known = state.withLock { $0.products } ?? (try? file.read())?.products
        guard known?.threads != threads, let speed = measure() else { return }
        let products = Measurements.Products(multiplyAddsPerSecond: speed, threads: threads)
        state.withLock { $0.products = products }
        do {
            try file.keep(products)
        } catch {
            complain("measurements are not kept: \(error)")
        }
    }

    /// A drive that was measured in little memory is measured again when there is much more.
    private static func isWorthMeasuring(_ profile: DriveProfile?, memoryBytes: Int) -> Bool {
        guard let profile else { return true }
        return profile.memoryBytes * 2 <= min(memoryBytes, DriveProbe.memoryBytes)
    }

    private func known(_ device: BlockDevice) -> DriveProfile? {
        if let profile = state.withLock({ $0.measured[device] }) { return profile }
        do {
            return try file.read().drive(device)?.profile
        } catch {
            complain("kept measurements are not used: \(error)")
            return nil
        }
    }

    private func measure(
        _ device: BlockDevice, _ options: FlashOptions, path: String, memoryBytes: Int
    ) -> DriveProfile? {
        let start = MonotonicClock.nanoseconds
        guard let profile = probe(options, path: path, memoryBytes: memoryBytes) else { return nil }
        let tenths = (MonotonicClock.nanoseconds - start) / 100_000_000
        state.withLock { $0.measured[device] = profile }
        onNotice(
            "measured the drive \(device.name) in \(tenths / 10).\(tenths % 10) s: "
                + profile.summary)
        do {
            try file.keep(profile, of: device)
        } catch {
            complain("measurements are not kept: \(error)")
        }
        return profile
    }

    /// Buffered where direct reads turn out to lie.
    private func probe(
        _ options: FlashOptions, path: String, memoryBytes: Int
    ) -> DriveProfile? {
        var options = options
        let paths = [path] + neighbours(path)
        for mayReadDirectly in options.mayReadDirectly ? [true, false] : [false] {
            options.mayReadDirectly = mayReadDirectly
            do throws(FlashError) {
                return try DriveProbe.measure(
                    paths: paths, options: options, in: ledger, memoryBytes: memoryBytes)
            } catch {
                complain("the drive could not be measured: \(error)")
                guard case .read(let failure) = error, failure.cause == .directReadDiffers else {
                    return nil
                }
            }
        }
        return nil
    }

    private func complain(_ text: String) {
        if state.withLock({ $0.complaints.insert(text).inserted }) { onNotice(text) }
    }
}

extension MeasurementsFile {
    /// Adds a drive to what is kept; what is damaged is replaced.
    ///
    /// - Throws: `SystemError` where it cannot be written.
    package func keep(
        _ profile: DriveProfile, of device: BlockDevice, memory: Measurements.Memory? = nil
    ) throws {
        var measurements = (try? read()) ?? Measurements()
        measurements.add(
            Measurements.Drive(device: device, measured: SystemCalls.now(), profile: profile))
        if let memory { measurements.memory = memory }
        try write(measurements)
    }

    /// Adds the speed of products to what is kept.
    ///
    /// - Throws: `SystemError` where it cannot be written.
    package func keep(_ products: Measurements.Products) throws {
        var measurements = (try? read()) ?? Measurements()
        measurements.products = products
        try write(measurements)
    }
}

extension DriveProfile {
    /// Speed and choice in words.
    package var summary: String {
        let rate = ByteSize.format(UInt64(bytesPerSecondMax))
        let pace = isPaced ? ", held to that rate" : ""
        return "\(rate)/s\(pace); reads of \(ByteSize.format(UInt64(choice.readBytes))), "
            + "\(choice.depth) at a time"
    }
}
