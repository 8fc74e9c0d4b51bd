// What `sluice bench` reports: the figures of its runs, and how much they reached of what the
// machine allows.

internal import FlashStorage
internal import JSON
internal import Knobs
internal import LinuxSystem
internal import Measurement
internal import Memory
internal import Weights

/// A model's runs, and what is told about it.
struct BenchmarkSubject {
    let path: String
    let isResident: Bool
    let budget: MemoryPlan
    let runs: [BenchmarkRun]
    let weightBytesPerToken: Int
    let peakBytes: Int
    /// Bytes of an expert's bundle; 0 without experts.
    let bundleBytes: Int
    /// Memory with which one token's experts fit; nil when they do.
    let workingSetLimitBytes: Int?
}

/// How fast memory is, as far as it is known.
struct KnownMemorySpeed {
    let bytesPerSecond: Double
    /// Why it may be less; nil where there is no doubt.
    var doubt: String?
}

extension MemorySpeed {
    /// What is to be said with a speed that is not to be trusted; nil when it is.
    var doubt: String? {
        guard !isTrusted else { return nil }
        return "measured within \(ByteSize.format(UInt64(probeBytes))), much of it from caches of "
            + ByteSize.format(UInt64(cacheBytes))
    }
}

/// What the machine allows.
struct BenchmarkLimits {
    /// Nil when the file is too small to measure with.
    let drive: DriveProfile?
    /// What is known of the drive from earlier.
    let keptBytesPerSecond: Double?
    let memory: KnownMemorySpeed
    let weightBytesPerToken: Int

    /// The best that was measured of the drive, now or earlier: measured beside something else that
    /// runs, it seems slower than it is. Unless something holds it to a rate now.
    var flashBytesPerSecond: Double? {
        drive.map { $0.isPaced ? $0.bytesPerSecondMax : max($0.bytesPerSecondMax, kept) }
    }

    private var kept: Double { keptBytesPerSecond ?? 0 }

    /// Nil when nothing was read, or the drive is not known.
    func flashTokensPerSecond(bytesPerToken: Double) -> Double? {
        guard bytesPerToken > 0 else { return nil }
        return flashBytesPerSecond.map { $0 / bytesPerToken }
    }
}

/// A value that JSON shows as null when there is none, where it would else leave out the key.
struct Nullable<Value: Encodable>: Encodable {
    let value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value { try container.encode(value) } else { try container.encodeNil() }
    }
}

/// The figures, named as docs and scripts rely on.
struct BenchmarkReport: Encodable {
    struct Seconds: Encodable {
        let flashWait: Double
        let compute: Double
        let other: Double
    }

    /// How reads were made, and the drive's best speed.
    struct Drive: Encodable {
        let queueDepth: Int
        let readBytesMax: Int
        let bytesPerSecond: Nullable<Double>
        /// Something holds the drive to a rate.
        let isPaced: Bool
    }

    struct Prefetch: Encodable {
        let reads: Int
        /// Of the reads, those whose bundle was demanded before it left.
        let precision: Double
        /// Of the bundles that were missing when their layer was predicted, those predicted.
        let recall: Double
        let wastedBytesPerToken: Double

        init?(_ runs: [BenchmarkRun], bundleBytes: Int, tokens: Int) {
            let all = runs.map(\.generation.prefetch)
            reads = all.reduce(0) { $0 + $1.read }
            guard reads > 0 else { return nil }
            let used = all.reduce(0) { $0 + $1.used }
            let missing = all.reduce(0) { $0 + $1.missing }
            precision = Double(used) / Double(reads)
            recall = missing == 0 ? 1 : Double(all.reduce(0) { $0 + $1.named }) / Double(missing)
            wastedBytesPerToken =
                Double((reads - used) * bundleBytes) / Double(tokens * all.count)
        }
    }

    let model: String
    let threads: Int
    let memoryLimitBytes: Nullable<Int>
    let promptTokens: Int
    let generatedTokens: Int
    let promptTokensPerSecond: Double
    let generatedTokensPerSecond: Double
    let millisecondsPerToken: Double
    let timeToFirstTokenSeconds: Double
    let flashBytesPerPromptToken: Double
    let flashBytesPerGeneratedToken: Double
    let flashBytesPerSecond: Double
    let bundleHitRate: Double
    /// The memory limit with which one token's experts fit the cache, when they do not.
    let workingSetMemoryLimitBytes: Nullable<Int>
    /// What measured bandwidths allow for the bytes that this run moved; nil without a limit.
    let flashLimitTokensPerSecond: Nullable<Double>
    let memoryLimitTokensPerSecond: Double
    /// Why memory may allow less; nil where its speed was measured with much more than caches hold.
    let memoryLimitDoubt: Nullable<String>
    /// The smaller of the two: reading and computing at once, a token takes at least as long as the
    /// longer of them.
    let limitTokensPerSecond: Double
    /// Of the flash limit, how much was reached; nil without that limit.
    let flashFraction: Nullable<Double>
    /// Of ``limitTokensPerSecond``, how much was reached.
    let limitFraction: Double
    let drive: Drive
    let seconds: Seconds
    /// Expert bundles read ahead of demand; nil when none was.
    let prefetch: Nullable<Prefetch>
    let peakResidentBytes: Int
    let budget: [String: Int]

    init(
        _ subject: BenchmarkSubject, _ plan: BenchmarkPlan, _ limits: BenchmarkLimits,
        flash: FlashOptions, threads: Int
    ) {
        let runs = subject.runs
        let tokens = Double(plan.generatedTokens)
        let generate = Self.median(runs.map(\.generateSeconds))
        let prompt = Self.median(runs.map(\.promptSeconds))
        let flashBytes = Self.median(runs.map { Double($0.generation.flashBytes) })
        let wait = Self.median(runs.map { Double($0.generation.flashWaitNanoseconds) / 1e9 })
        let flashLimit = limits.flashTokensPerSecond(bytesPerToken: flashBytes / tokens)
        let memoryLimit = limits.memory.bytesPerSecond / Double(limits.weightBytesPerToken)
        let limit = min(flashLimit ?? .infinity, memoryLimit)
        model = subject.path
        self.threads = threads
        memoryLimitBytes = Nullable(subject.isResident ? nil : subject.budget.limitBytes)
        promptTokens = plan.promptTokens
        generatedTokens = plan.generatedTokens
        promptTokensPerSecond = Double(plan.promptTokens) / prompt
        generatedTokensPerSecond = tokens / generate
        millisecondsPerToken = generate / tokens * 1000
        timeToFirstTokenSeconds = prompt
        flashBytesPerPromptToken =
            Self.median(runs.map { Double($0.prefill.flashBytes) }) / Double(plan.promptTokens)
        flashBytesPerGeneratedToken = flashBytes / tokens
        flashBytesPerSecond = flashBytes / generate
        workingSetMemoryLimitBytes = Nullable(subject.workingSetLimitBytes)
        bundleHitRate = Self.median(runs.map(\.generation.hitRate))
        flashLimitTokensPerSecond = Nullable(flashLimit)
        memoryLimitTokensPerSecond = memoryLimit
        memoryLimitDoubt = Nullable(limits.memory.doubt)
        limitTokensPerSecond = limit
        flashFraction = Nullable(flashLimit.map { tokens / generate / $0 })
        limitFraction = tokens / generate / limit
        drive = Drive(
            queueDepth: flash.queueDepth, readBytesMax: flash.pieceBytesMax,
            bytesPerSecond: Nullable(limits.flashBytesPerSecond),
            isPaced: limits.drive?.isPaced ?? false)
        seconds = Seconds(
            flashWait: wait, compute: Self.median(runs.map(\.computeSeconds)),
            other: max(0, generate - wait - Self.median(runs.map(\.computeSeconds))))
        prefetch = Nullable(
            Prefetch(runs, bundleBytes: subject.bundleBytes, tokens: plan.generatedTokens))
        peakResidentBytes = subject.peakBytes
        budget = Dictionary(
            subject.budget.terms.map { ($0.name, $0.bytes) }, uniquingKeysWith: +)
    }

    func json() throws -> String {
        let json = try JSONValue(encoding: self, namesAreSnakeCase: true)
        return String(decoding: json.text(), as: UTF8.self)
    }

    func text() -> String {
        func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
        func mebibytes(_ bytes: Double) -> String { rounded(bytes / 1_048_576) + " MiB" }
        func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
        var lines = [
            "prompt      \(rounded(promptTokensPerSecond)) tokens/s (\(promptTokens) tokens)",
            "generate    \(rounded(generatedTokensPerSecond)) tokens/s (\(generatedTokens) tokens, "
                + "\(rounded(millisecondsPerToken)) ms each)",
            "flash       \(mebibytes(flashBytesPerGeneratedToken)) per token, hit rate "
                + rounded(bundleHitRate)
        ]
        if let speed = drive.bytesPerSecond.value {
            lines.append(
                "drive       \(mebibytes(speed))/s\(drive.isPaced ? ", held to that rate" : ""); "
                    + "read in pieces of \(mebibytes(Double(drive.readBytesMax))), at most "
                    + "\(drive.queueDepth) at once")
        }
        if let limit = flashLimitTokensPerSecond.value, let share = flashFraction.value {
            lines.append(
                "flash limit \(rounded(limit)) tokens/s, of which \(percent(share)) reached")
        }
        lines += [
            "memory      allows \(rounded(memoryLimitTokensPerSecond)) tokens/s"
                + (memoryLimitDoubt.value.map { ", or less: \($0) (see sluice tune)" } ?? ""),
            "limit       \(rounded(limitTokensPerSecond)) tokens/s, of which "
                + "\(percent(limitFraction)) reached",
            "peak        \(mebibytes(Double(peakResidentBytes)))"
        ]
        return lines.joined(separator: "\n")
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
