// What was measured of this machine, kept from one start to the next: a sidecar of no model, whose
// content is JSON. Whoever finds none that makes sense measures again or goes on without.

internal import JSON
package import LinuxSystem
package import ModelFormat

/// What is known of the machine.
package struct Measurements: Sendable, Equatable {
    package struct Drive: Sendable, Equatable {
        package let device: BlockDevice
        /// Seconds since 1970.
        package let measured: Int64
        package let profile: DriveProfile

        package init(device: BlockDevice, measured: Int64, profile: DriveProfile) {
            self.device = device
            self.measured = measured
            self.profile = profile
        }
    }

    package struct Memory: Sendable, Equatable {
        package let bytesPerSecond: Double
        package let threads: Int

        package init(bytesPerSecond: Double, threads: Int) {
            self.bytesPerSecond = bytesPerSecond
            self.threads = threads
        }
    }

    /// How fast matrix products of many tokens are.
    package struct Products: Sendable, Equatable {
        package let multiplyAddsPerSecond: Double
        package let threads: Int

        package init(multiplyAddsPerSecond: Double, threads: Int) {
            self.multiplyAddsPerSecond = multiplyAddsPerSecond
            self.threads = threads
        }
    }

    /// Drives that are remembered; the one measured longest ago is forgotten first.
    static let drivesMax = 16

    package private(set) var drives: [Drive] = []
    package var memory: Memory?
    package var products: Products?

    package init() {}

    package func drive(_ device: BlockDevice) -> Drive? { drives.first { $0.device == device } }

    /// Takes `drive` in, in place of what was known of its device.
    package mutating func add(_ drive: Drive) {
        drives.removeAll { $0.device == drive.device }
        drives.append(drive)
        if drives.count > Self.drivesMax { drives.removeFirst(drives.count - Self.drivesMax) }
    }
}

/// Why nothing can be measured. Never a reason not to run.
package enum MeasurementError: Error, Sendable, Equatable, CustomStringConvertible {
    case tooSmall(file: String)

    package var description: String {
        switch self {
        case .tooSmall(let file): "\(file): too small to measure a drive with"
        }
    }
}

/// The file that keeps measurements.
package struct MeasurementsFile: Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    private var sidecar: Sidecar<Measurements> { Sidecar(path: path, digest: nil) }

    /// What the file holds; nothing when there is none.
    ///
    /// - Throws: `SidecarError` when what there is cannot be used.
    package func read() throws(SidecarError) -> Measurements {
        try sidecar.read(for: ()) ?? Measurements()
    }

    /// Replaces the file, so that nobody reads half of it.
    ///
    /// - Throws: `SystemError` where it cannot be written, such as a read-only file system.
    package func write(_ measurements: Measurements) throws(SystemError) {
        try FileSystem.createDirectory(FileSystem.parent(of: path))
        try sidecar.write(measurements)
    }
}

// MARK: as JSON

extension Measurements: SidecarValue {
    package static let kind = SidecarKind(
        name: "measured", contents: "measurements", version: 1, bytesMax: 1 << 20,
        remedy: "sluice tune measures again")

    package init(
        _ reader: inout ByteReader, version: UInt32, for context: Void
    ) throws(FormatError) {
        let bytes = Array(try reader.take(reader.bytesLeft))
        let stored: StoredMeasurements
        do {
            stored = try JSONParser.parse(bytes).decoded(as: StoredMeasurements.self)
        } catch {
            throw reader.error("measurements", found: "no such JSON")
        }
        if let problem = stored.problem { throw reader.error("measurements", found: problem) }
        self = stored.measurements
    }

    package func write(to writer: inout ByteWriter) {
        // Speeds are finite: the file would not be read, otherwise.
        let json = try? JSONValue(encoding: StoredMeasurements(self))
        writer.bytes += (json ?? .null).text(isPretty: true)
    }
}

private struct StoredMeasurements: Codable {
    struct Drive: Codable {
        var number: String
        var name: String
        var bytes: UInt64
        var model: String
        var measured: Int64
        var reader: String
        var direct: Bool
        var paced: Bool
        var sustainedBytesPerSecond: Double
        var memoryBytes: Int
        var speeds: [Speed]
    }

    struct Speed: Codable {
        var pattern: String
        var readBytes: Int
        var depth: Int
        var bytesPerSecond: Double
    }

    struct Memory: Codable {
        var bytesPerSecond: Double
        var threads: Int
    }

    struct Products: Codable {
        var multiplyAddsPerSecond: Double
        var threads: Int
    }

    var drives: [Drive]
    var memory: Memory?
    var products: Products?

    init(_ measurements: Measurements) {
        drives = measurements.drives.map { drive in
            Drive(
                number: drive.device.number, name: drive.device.name,
                bytes: drive.device.byteCount, model: drive.device.model,
                measured: drive.measured, reader: drive.profile.readerKind,
                direct: drive.profile.isDirect, paced: drive.profile.isPaced,
                sustainedBytesPerSecond: drive.profile.bytesPerSecondSustained,
                memoryBytes: drive.profile.memoryBytes,
                speeds: drive.profile.speeds.map { speed in
                    Speed(
                        pattern: speed.pattern.rawValue, readBytes: speed.readBytes,
                        depth: speed.depth, bytesPerSecond: speed.bytesPerSecond)
                })
        }
        memory = measurements.memory.map {
            Memory(bytesPerSecond: $0.bytesPerSecond, threads: $0.threads)
        }
        products = measurements.products.map {
            Products(multiplyAddsPerSecond: $0.multiplyAddsPerSecond, threads: $0.threads)
        }
    }

    /// What makes no sense; nil when all is well.
    var problem: String? {
        guard drives.count <= Measurements.drivesMax else { return "\(drives.count) drives" }
        if let memory {
            guard Self.isSpeed(memory.bytesPerSecond), (1...1024).contains(memory.threads) else {
                return "an impossible speed of memory"
            }
        }
        if let products {
            guard Self.isSpeed(products.multiplyAddsPerSecond),
                (1...1024).contains(products.threads)
            else { return "an impossible speed of products" }
        }
        return drives.contains { !Self.isPossible($0) } ? "an impossible drive" : nil
    }

    private static func isSpeed(_ perSecond: Double) -> Bool { perSecond > 0 && perSecond < 1e15 }

    private static func isPossible(_ drive: Drive) -> Bool {
        (1...1000).contains(drive.speeds.count) && isSpeed(drive.sustainedBytesPerSecond)
            && ["io_uring", "pread"].contains(drive.reader)
            && (1...1 << 30).contains(drive.memoryBytes)
            && drive.speeds.allSatisfy { speed in
                DriveSpeed.Pattern(rawValue: speed.pattern) != nil
                    && (4096...64 << 20).contains(speed.readBytes) && speed.readBytes % 4096 == 0
                    && (1...1024).contains(speed.depth) && isSpeed(speed.bytesPerSecond)
            }
    }

    /// - Precondition: ``problem`` is nil.
    var measurements: Measurements {
        var measurements = Measurements()
        for drive in drives {
            let speeds = drive.speeds.compactMap { speed in
                DriveSpeed.Pattern(rawValue: speed.pattern).map {
                    DriveSpeed(
                        pattern: $0, readBytes: speed.readBytes, depth: speed.depth,
                        bytesPerSecond: speed.bytesPerSecond)
                }
            }
            measurements.add(
                Measurements.Drive(
                    device: BlockDevice(
                        number: drive.number, name: drive.name, byteCount: drive.bytes,
                        model: drive.model),
                    measured: drive.measured,
                    profile: DriveProfile(
                        readerKind: drive.reader, isDirect: drive.direct, speeds: speeds,
                        bytesPerSecondSustained: drive.sustainedBytesPerSecond,
                        isPaced: drive.paced, memoryBytes: drive.memoryBytes)))
        }
        measurements.memory = memory.map {
            Measurements.Memory(bytesPerSecond: $0.bytesPerSecond, threads: $0.threads)
        }
        measurements.products = products.map {
            Measurements.Products(
                multiplyAddsPerSecond: $0.multiplyAddsPerSecond, threads: $0.threads)
        }
        return measurements
    }
}

extension MeasurementError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}
