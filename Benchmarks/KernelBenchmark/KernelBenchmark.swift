// `kernel-benchmark`: how fast each weight format's product is on this machine, beside the speed at
// which the same threads merely read memory. Weights are random; results are not looked at.

internal import ArgumentParser
internal import Compute
internal import LinuxSystem
internal import ModelFormat

@main
struct KernelBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernel-benchmark",
        abstract: "Measures matrix products: GB/s of weights, and operations per second.")

    @Option(help: "Threads that compute.")
    var threads = Processors.allowed.count

    @Option(help: "Kernels: scalar, avx2 and so on; the fastest when not given.")
    var kernels: String?

    @Option(help: "Weight formats, separated by commas; all when not given.")
    var formats: String?

    @Option(help: "Tokens per product, separated by commas.")
    var tokens = "1,2,4,8,16,64,512"

    @Option(help: "Columns of the matrix.")
    var columns = 2048

    @Option(help: "Passes; medians are reported.")
    var passes = 5

    @Flag(help: "Comma-separated values instead of a table.")
    var csv = false

    func validate() throws {
        guard (1...256).contains(threads) else {
            throw ValidationError("--threads is between 1 and 256")
        }
        guard columns > 0, columns % 256 == 0, columns <= 1 << 16 else {
            throw ValidationError("--columns is a multiple of 256, at most 65536")
        }
        guard (1...1000).contains(passes) else {
            throw ValidationError("--passes is between 1 and 1000")
        }
        _ = try chosenFormats()
        _ = try tokenCounts()
        _ = try chosenKernels()
    }

    func run() throws {
        let team = ComputeTeam(memberCount: threads)
        team.pinCaller()
        let chosen = try chosenKernels()
        var report = Report(kernels: chosen.name, threads: threads, isCSV: csv)
        report.printHeader()
        for format in try chosenFormats() {
            for count in try tokenCounts() {
                let workload = try ProductWorkload(
                    format: format, columns: columns, tokens: count, kernels: chosen, team: team)
                report.printRow(try workload.measure(passes: passes))
            }
        }
    }

    private func chosenFormats() throws -> [WeightFormat] {
        guard let formats else { return WeightFormat.allCases }
        return try formats.split(separator: ",").map { name in
            guard let format = WeightFormat(rawValue: String(name)) else {
                throw ValidationError("\(name) is not a format")
            }
            return format
        }
    }

    private func tokenCounts() throws -> [Int] {
        try tokens.split(separator: ",").map { text in
            guard let count = Int(text), (1...4096).contains(count) else {
                throw ValidationError("--tokens: \(text) is not between 1 and 4096")
            }
            return count
        }
    }

    private func chosenKernels() throws -> Kernels {
        guard let kernels else { return .best }
        guard let match = Kernels.available.first(where: { $0.name == kernels }) else {
            let names = Kernels.available.map(\.name).joined(separator: ", ")
            throw ValidationError("this machine has no kernels \(kernels), only \(names)")
        }
        return match
    }
}
