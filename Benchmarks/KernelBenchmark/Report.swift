// The figures as a table for people or as comma-separated values for the plots.

internal import ModelFormat

struct Report {
    let kernels: String
    let threads: Int
    let isCSV: Bool

    mutating func printHeader() {
        if isCSV {
            print("kernels,threads,format,tokens,weight_gb_per_s,read_gb_per_s,gop_per_s")
        } else {
            print("kernels \(kernels), threads \(threads)")
            print("format   tokens   weights GB/s   of reading   Gop/s")
        }
    }

    mutating func printRow(_ speed: ProductSpeed) {
        let weights = Self.rounded(speed.weightBytesPerSecond / 1e9)
        let read = Self.rounded(speed.readBytesPerSecond / 1e9)
        let operations = Self.rounded(speed.operationsPerSecond / 1e9)
        if isCSV {
            print(
                "\(kernels),\(threads),\(speed.format.rawValue),\(speed.tokens),\(weights),"
                    + "\(read),\(operations)")
            return
        }
        let share = Int((speed.weightBytesPerSecond / speed.readBytesPerSecond * 100).rounded())
        // Many tokens pass over weights that stay in a cache: reading is no limit there.
        let isMemoryBound = speed.tokens < ProductWorkload.manyTokens
        print(
            Self.padded(speed.format.rawValue, 9) + Self.padded("\(speed.tokens)", 9)
                + Self.padded(isMemoryBound ? weights : "-", 15)
                + Self.padded(isMemoryBound ? "\(share) %" : "-", 13) + operations)
    }

    private static func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
