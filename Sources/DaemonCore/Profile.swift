// The knobs of one device, validated. Every field is used; a key that is none is refused by line.
// profiles/generic.toml explains each and holds these defaults.

package import Inference
internal import LinuxSystem
package import Scheduling

/// What a profile file says.
package struct Profile: Sendable, Equatable {
    package struct Memory: Sendable, Equatable {
        /// Most bytes of memory for everything; nil is "auto", what the cgroup and the machine
        /// leave.
        package var budgetBytes: UInt64?
    }

    package struct Flash: Sendable, Equatable {
        package enum Reader: String, Sendable, CaseIterable {
            /// io_uring where the kernel allows it, else pread.
            case auto
            case ioUring = "io_uring"
            case pread
        }

        /// nil is "auto": as the drive was measured.
        package var queueDepth: Int?
        /// nil is "auto": as the drive was measured.
        package var readBytesMax: UInt64?
        /// Bytes between two small reads that are read too rather than split the read; nil is what
        /// the drive's measurement says.
        package var gapBytesMax: UInt64?
        /// Reads of single neurons begin and end at multiples of the drive's blocks, but of no
        /// less than this; nil is the drive's blocks.
        package var readBytesMin: UInt64?
        /// Expert bundles under way beyond which none is read ahead of its demand.
        package var prefetchesMax = 0
        package var reader = Reader.auto
        /// A request whose reads bring nothing for so long fails.
        package var readSecondsMax = 4
    }

    package struct Compute: Sendable, Equatable {
        /// nil is "auto": one for each processor that the process may use.
        package var threads: Int?
    }

    package struct Generation: Sendable, Equatable {
        package var contextTokens = 4096
        package var prefillChunkTokens = 512
        package var speculation = SpeculationPolicy.automatic
        /// For requests that do not say.
        package var sampling = SamplingParameters()
    }

    package struct Service: Sendable, Equatable {
        /// nil is the place that the environment implies.
        package var socketPath: String?
        package var socketMode: UInt32 = 0o660
        /// Most requests waiting; further ones are told to try again.
        package var queueMax = 64
        /// nil is the place that the environment implies.
        package var modelsDirectory: String?
        /// For requests that name no model; nil is the only model of the library.
        package var defaultModel: String?
        package var drainSeconds = 30
        package var logLevel = LogLevel.info
    }

    package var memory = Memory()
    package var flash = Flash()
    package var compute = Compute()
    package var generation = Generation()
    package var service = Service()

    package init() {}

    /// Longest profile file.
    package static let fileBytesMax = 1 << 20

    /// Reads a profile file. Throws `ConfigurationError` also when the file cannot be read.
    package init(path: String) throws(ConfigurationError) {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try SystemCalls.readFile(path, bytesMax: Self.fileBytesMax)
        } catch {
            let problem = SystemError(error.call, errorNumber: error.errorNumber)
            throw ConfigurationError(file: path, "\(problem)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(file: path, "not UTF-8")
        }
        try self.init(text: text, file: path)
    }

    /// Reads a profile's text; `file` names it in complaints.
    package init(text: String, file: String) throws(ConfigurationError) {
        var reader = ProfileReader(try ConfigurationDocument(text, file: file), file: file)
        try readResources(&reader)
        try readGeneration(&reader)
        try readService(&reader)
        try reader.requireEmpty()
    }

    private mutating func readResources(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.size("memory.budget", in: (1 << 20)...(1 << 50), orAuto: &memory.budgetBytes)
        try reader.integer("flash.queue_depth", in: 1...1024, orAuto: &flash.queueDepth)
        try reader.size("flash.read_bytes_max", in: 4096...(64 << 20), orAuto: &flash.readBytesMax)
        try reader.size("flash.gap_bytes_max", in: 0...(1 << 20), orAuto: &flash.gapBytesMax)
        try reader.size("flash.read_bytes_min", in: 512...4096, orAuto: &flash.readBytesMin)
        try reader.choice("flash.reader", &flash.reader)
        try reader.integer("flash.read_seconds_max", in: 1...3600, &flash.readSecondsMax)
        try reader.integer("flash.prefetch_max", in: 0...64, &flash.prefetchesMax)
        try reader.integer("compute.threads", in: 1...1024, orAuto: &compute.threads)
    }

    private mutating func readGeneration(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.integer(
            "generation.context_tokens", in: 64...(1 << 22), &generation.contextTokens)
        try reader.integer(
            "generation.prefill_chunk_tokens", in: 1...4096, &generation.prefillChunkTokens)
        try reader.speculation("generation.speculate", &generation.speculation)
        try reader.number("generation.temperature", in: 0...10, &generation.sampling.temperature)
        try reader.integer("generation.top_k", in: 0...1_000_000, &generation.sampling.topK)
        try reader.number("generation.top_p", in: 0...1, &generation.sampling.topP)
        try reader.number("generation.min_p", in: 0...1, &generation.sampling.minP)
        try reader.number(
            "generation.repeat_penalty", in: 0.01...10, &generation.sampling.repetitionPenalty)
        try reader.number(
            "generation.presence_penalty", in: -2...2, &generation.sampling.presencePenalty)
        try reader.number(
            "generation.frequency_penalty", in: -2...2, &generation.sampling.frequencyPenalty)
        try reader.integer(
            "generation.penalty_window", in: 0...65536, &generation.sampling.penaltyWindow)
    }

    private mutating func readService(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.text("service.socket", &service.socketPath)
        try reader.mode("service.socket_mode", &service.socketMode)
        try reader.integer("service.queue_max", in: 1...100_000, &service.queueMax)
        try reader.text("service.models_directory", &service.modelsDirectory)
        try reader.text("service.default_model", &service.defaultModel)
        try reader.integer("service.drain_seconds", in: 0...3600, &service.drainSeconds)
        try reader.choice("service.log_level", &service.logLevel)
    }
}

/// Takes entries out of a document one by one; what is left at the end is unknown.
private struct ProfileReader {
    private var entries: [String: ConfigurationDocument.Entry]
    private let file: String

    init(_ document: ConfigurationDocument, file: String) {
        entries = document.entries
        self.file = file
    }

    private func error(
        _ name: String, _ entry: ConfigurationDocument.Entry, _ problem: String
    ) -> ConfigurationError {
        ConfigurationError(file: file, line: entry.line, "\(name): \(problem)")
    }

    func requireEmpty() throws(ConfigurationError) {
        guard let (name, entry) = entries.min(by: { $0.value.line < $1.value.line }) else { return }
        throw ConfigurationError(file: file, line: entry.line, "unknown key '\(name)'")
    }

    mutating func integer(
        _ name: String, in range: ClosedRange<Int64>, _ target: inout Int
    ) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        guard case .integer(let value) = entry.value, range.contains(value) else {
            throw error(
                name, entry,
                "expected a whole number within \(range.lowerBound)...\(range.upperBound)")
        }
        target = Int(value)
    }

    /// As `integer`, and `"auto"` for nil.
    mutating func integer(
        _ name: String, in range: ClosedRange<Int64>, orAuto target: inout Int?
    ) throws(ConfigurationError) {
        if entries[name]?.value == .string("auto") {
            entries[name] = nil
            target = nil
            return
        }
        guard entries[name] != nil else { return }
        var value = 0
        try integer(name, in: range, &value)
        target = value
    }

    /// `"auto"`, `"off"`, or a number of drafts.
    mutating func speculation(
        _ name: String, _ target: inout SpeculationPolicy
    ) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        let text =
            switch entry.value {
            case .integer(let count): "\(count)"
            case .string(let text): Int(text) == nil ? text : ""
            default: ""
            }
        guard let policy = SpeculationPolicy(text) else {
            throw error(
                name, entry,
                "expected \"auto\", \"off\" or a number within 1...\(SpeculationPolicy.draftsMax)")
        }
        target = policy
    }

    mutating func number(
        _ name: String, in range: ClosedRange<Double>, _ target: inout Float
    ) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        let value: Double =
            switch entry.value {
            case .integer(let integer): Double(integer)
            case .number(let number): number
            default: .nan
            }
        guard range.contains(value) else {
            throw error(
                name, entry, "expected a number within \(range.lowerBound)...\(range.upperBound)")
        }
        target = Float(value)
    }

    mutating func size(
        _ name: String, in range: ClosedRange<UInt64>, _ target: inout UInt64?
    ) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        guard case .string(let text) = entry.value, let bytes = ByteSize.parse(text),
            range.contains(bytes)
        else {
            let (least, most) = (
                ByteSize.format(range.lowerBound), ByteSize.format(range.upperBound)
            )
            throw error(name, entry, "expected a size such as \"512M\", \(least) to \(most)")
        }
        target = bytes
    }

    /// As `size`, and `"auto"` for nil.
    mutating func size(
        _ name: String, in range: ClosedRange<UInt64>, orAuto target: inout UInt64?
    ) throws(ConfigurationError) {
        if entries[name]?.value == .string("auto") {
            entries[name] = nil
            target = nil
            return
        }
        try size(name, in: range, &target)
    }

    /// A string; an empty one is nil.
    mutating func text(_ name: String, _ target: inout String?) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        guard case .string(let text) = entry.value, !text.contains("\0") else {
            throw error(name, entry, "expected a string")
        }
        target = text.isEmpty ? nil : text
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ target: inout Choice
    ) throws(ConfigurationError) where Choice.RawValue == String {
        guard let entry = entries.removeValue(forKey: name) else { return }
        guard case .string(let text) = entry.value, let choice = Choice(rawValue: text) else {
            let choices = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw error(name, entry, "expected one of \(choices)")
        }
        target = choice
    }

    /// A file mode in octal, as a string: TOML has no such number with a leading zero.
    mutating func mode(_ name: String, _ target: inout UInt32) throws(ConfigurationError) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        guard case .string(let text) = entry.value, let mode = UInt32(text, radix: 8), mode <= 0o777
        else { throw error(name, entry, "expected a mode such as \"0660\"") }
        target = mode
    }
}
