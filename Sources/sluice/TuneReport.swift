// What `sluice tune` reports: a table for each pattern of reading, what was chosen, and the same as
// JSON and as a profile.

internal import FlashStorage
internal import JSON
internal import Knobs
internal import LinuxSystem

struct TuneReport {
    let device: BlockDevice
    let profile: DriveProfile
    /// Nil where it could not be measured.
    let memory: MemorySpeed?
    /// In products of many tokens; nil where it could not be measured.
    let multiplyAddsPerSecond: Double?
    /// Nil where nothing could be kept.
    let keptIn: String?

    func text() -> String {
        var lines: [String] = []
        for pattern in DriveSpeed.Pattern.allCases {
            let speeds = profile.speeds.filter { $0.pattern == pattern }
            if !speeds.isEmpty { lines += ["", table(pattern, speeds)] }
        }
        let choice = profile.choice
        lines += [
            "drive       \(device.name) \(device.model)",
            "read by     \(profile.readerKind), "
                + (profile.isDirect ? "past the page cache" : "through the page cache"),
            "sustained   \(rate(profile.bytesPerSecondSustained))/s"
                + (profile.isPaced ? ": something holds the drive to that rate" : ""),
            "fastest     \(rate(profile.bytesPerSecondMax))/s",
            "memory      " + memoryText,
            "products    " + productsText,
            "chosen      reads of \(ByteSize.format(UInt64(choice.readBytes))), "
                + "\(choice.depth) at a time"
        ]
        if let keptIn { lines.append("kept in     \(keptIn)") }
        return lines.joined(separator: "\n")
    }

    private var memoryText: String {
        guard let memory else { return "not measured" }
        let doubt = memory.doubt.map { ", or less: \($0); not kept" } ?? ""
        return rate(memory.bytesPerSecond) + "/s" + doubt
    }

    private var productsText: String {
        guard let multiplyAddsPerSecond else { return "not measured" }
        let tenths = Int((multiplyAddsPerSecond / 1e8).rounded())
        return "\(tenths / 10).\(tenths % 10) billion multiply-adds/s, of many tokens"
    }

    private func rate(_ bytesPerSecond: Double) -> String {
        ByteSize.format(UInt64(bytesPerSecond))
    }

    /// Sizes downwards, depths across, in MiB/s.
    private func table(_ pattern: DriveSpeed.Pattern, _ speeds: [DriveSpeed]) -> String {
        let sizes = Set(speeds.map(\.readBytes)).sorted()
        let depths = Set(speeds.map(\.depth)).sorted()
        let title =
            switch pattern {
            case .forward: "front to back, MiB/s"
            case .scattered: "scattered over the file, MiB/s"
            case .across: "scattered over several files, MiB/s"
            }
        let rows = sizes.map { size in
            [ByteSize.format(UInt64(size))]
                + depths.map { depth in
                    let speed = speeds.first { $0.readBytes == size && $0.depth == depth }
                    return speed.map { "\(Int($0.bytesPerSecond / 1_048_576))" } ?? "-"
                }
        }
        return Terminal.table([[title] + depths.map { "\($0) at a time" }] + rows)
    }

    /// A profile that the daemon's reader accepts.
    var profileText: String {
        let choice = profile.choice
        let name = "\(device.name) \(device.model)".split(whereSeparator: \.isNewline)
        return """
            # Measured by `sluice tune` on \(name.joined(separator: " ")).
            # Up to \(rate(profile.bytesPerSecondMax))/s by \(profile.readerKind).

            [flash]
            queue_depth = \(choice.depth)
            read_bytes_max = "\(choice.readBytes >> 10)K"

            """
    }

    func json() throws -> String {
        let json = try JSONValue(encoding: TuneFigures(self), namesAreSnakeCase: true)
        return String(decoding: json.text(), as: UTF8.self)
    }
}

/// The report, named as scripts rely on.
private struct TuneFigures: Encodable {
    struct Device: Encodable {
        let number: String
        let name: String
        let bytes: UInt64
        let model: String
    }

    struct Speed: Encodable {
        let pattern: String
        let readBytes: Int
        let depth: Int
        let bytesPerSecond: Double
    }

    struct Choice: Encodable {
        let readBytes: Int
        let queueDepth: Int
    }

    let device: Device
    let reader: String
    let direct: Bool
    let paced: Bool
    let sustainedBytesPerSecond: Double
    let bytesPerSecondMax: Double
    let memoryBytesPerSecond: Nullable<Double>
    let memoryDoubt: Nullable<String>
    let multiplyAddsPerSecond: Nullable<Double>
    let chosen: Choice
    let speeds: [Speed]
    let keptIn: Nullable<String>

    init(_ report: TuneReport) {
        let (profile, known) = (report.profile, report.device)
        device = Device(
            number: known.number, name: known.name, bytes: known.byteCount, model: known.model)
        reader = profile.readerKind
        direct = profile.isDirect
        paced = profile.isPaced
        sustainedBytesPerSecond = profile.bytesPerSecondSustained
        bytesPerSecondMax = profile.bytesPerSecondMax
        memoryBytesPerSecond = Nullable(report.memory?.bytesPerSecond)
        memoryDoubt = Nullable(report.memory?.doubt)
        multiplyAddsPerSecond = Nullable(report.multiplyAddsPerSecond)
        chosen = Choice(readBytes: profile.choice.readBytes, queueDepth: profile.choice.depth)
        speeds = profile.speeds.map { speed in
            Speed(
                pattern: speed.pattern.rawValue, readBytes: speed.readBytes, depth: speed.depth,
                bytesPerSecond: speed.bytesPerSecond)
        }
        keptIn = Nullable(report.keptIn)
    }
}
