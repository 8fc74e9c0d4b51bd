// What `sluice bench --ladder` reports: a row for each part, each with where its time went.

internal import JSON
internal import LinuxSystem
internal import Measurement
internal import Weights

/// Why there is no ladder.
enum LadderError: Error, CustomStringConvertible {
    case noBundles(String)
    case textTooShort(tokens: Int, needed: Int)

    var description: String {
        switch self {
        case .noBundles(let path):
            "\(path): its neurons are not bundled, so there is nothing to compare"
        case .textTooShort(let tokens, let needed):
            "the text has \(tokens) tokens; --prompt and --generate need \(needed)"
        }
    }
}

/// The figures, named as docs and scripts rely on.
struct LadderReport: Encodable {
    struct Row: Encodable {
        let step: String
        let memoryLimitBytes: Int
        /// What of the limit weights have, with what they are read into.
        let weightMemoryBytes: Int
        let flashBytesPerToken: Double
        /// Over the bytes of all weights.
        let flashShare: Double
        /// Records that were needed and read; null where layers are read whole.
        let usefulBytesPerToken: Nullable<Double>
        /// While anything was being read.
        let flashBytesPerSecond: Double
        let millisecondsPerToken: Double
        /// Times of a token: while anything was being read, waiting for that, in the books of
        /// neurons, and computing.
        let flashMilliseconds: Double
        let waitMilliseconds: Double
        let managementMilliseconds: Double
        let computeMilliseconds: Double
        /// Of the flash's time, what passed while something else was done.
        let hiddenMilliseconds: Double
        let falseNegativeRate: Nullable<Double>
        let falsePositiveRate: Nullable<Double>
        let perplexity: Nullable<Double>

        init(_ row: LadderRow, wholeBytes: Int, tokens: Int) {
            let run = row.run
            let tokens = Double(tokens)
            func milliseconds(_ nanoseconds: UInt64) -> Double {
                Double(nanoseconds) / 1e6 / tokens
            }
            let read = Double(run.generation.flashBytes)
            let busy = run.generation.flashBusyNanoseconds
            step = row.step.rawValue
            memoryLimitBytes = row.memoryBytes
            weightMemoryBytes = row.weightBytes
            flashBytesPerToken = read / tokens
            flashShare = read / tokens / Double(wholeBytes)
            usefulBytesPerToken = Nullable(
                row.step.readsWhole ? nil : Double(run.sparse.usefulBytes) / tokens)
            flashBytesPerSecond = busy > 0 ? read / (Double(busy) / 1e9) : 0
            millisecondsPerToken = run.generateSeconds * 1000 / tokens
            flashMilliseconds = milliseconds(busy)
            waitMilliseconds = milliseconds(run.generation.flashWaitNanoseconds)
            managementMilliseconds = milliseconds(run.sparse.managementNanoseconds)
            computeMilliseconds = run.computeSeconds * 1000 / tokens
            hiddenMilliseconds = max(0, flashMilliseconds - waitMilliseconds)
            falseNegativeRate = Nullable(row.missed)
            falsePositiveRate = Nullable(row.superfluous)
            perplexity = Nullable(run.loss.map { Mathematics.exponential($0) })
        }
    }

    let model: String
    let threads: Int
    let promptTokens: Int
    let generatedTokens: Int
    /// Of all weights, as the source has them.
    let weightBytes: Int
    let ladder: [Row]
    /// Of the last row; null without predictions.
    let falseNegativeRate: Nullable<Double>
    let falsePositiveRate: Nullable<Double>

    init(
        _ path: String, wholeBytes: Int, _ plan: BenchmarkPlan, threads: Int, _ rows: [LadderRow]
    ) {
        model = path
        self.threads = threads
        promptTokens = plan.promptTokens
        generatedTokens = plan.generatedTokens
        weightBytes = wholeBytes
        ladder = rows.map { Row($0, wholeBytes: wholeBytes, tokens: plan.generatedTokens) }
        falseNegativeRate = Nullable(rows.last?.missed)
        falsePositiveRate = Nullable(rows.last?.superfluous)
    }

    func json() throws -> String {
        let json = try JSONValue(encoding: self, namesAreSnakeCase: true)
        return String(decoding: json.text(), as: UTF8.self)
    }

    func text() -> String {
        func rounded(_ value: Double, _ digits: Double = 100) -> String {
            "\((value * digits).rounded() / digits)"
        }
        func size(_ bytes: Double) -> String { rounded(bytes / 1_048_576) + " MiB" }
        func share(_ value: Double?) -> String { value.map { rounded($0, 1000) } ?? "-" }
        var table = [
            [
                "step", "weights in", "read/token", "of all", "useful", "GB/s", "ms/token", "flash",
                "wait", "books", "compute", "hidden", "missed", "perplexity"
            ]
        ]
        for row in ladder {
            table.append([
                row.step, size(Double(row.weightMemoryBytes)), size(row.flashBytesPerToken),
                share(row.flashShare), row.usefulBytesPerToken.value.map(size) ?? "-",
                rounded(row.flashBytesPerSecond / 1e9), rounded(row.millisecondsPerToken),
                rounded(row.flashMilliseconds), rounded(row.waitMilliseconds),
                rounded(row.managementMilliseconds), rounded(row.computeMilliseconds),
                rounded(row.hiddenMilliseconds), share(row.falseNegativeRate.value),
                row.perplexity.value.map { rounded($0, 1000) } ?? "-"
            ])
        }
        return Terminal.table(table)
            + "\(generatedTokens) tokens after a prompt of \(promptTokens); all weights are "
            + "\(size(Double(weightBytes)))"
    }
}
