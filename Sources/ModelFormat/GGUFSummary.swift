// What `sluice show` says about a GGUF file: its metadata as text, its size, its formats.

extension GGUFMetadata {
    /// A metadata key with its value as one line of text. Arrays are shown by type and length, long
    /// strings by their beginning.
    package struct Summary: Sendable, Equatable {
        package let key: String
        package let type: String
        package let value: String
    }

    /// Every entry in file order.
    ///
    /// - Throws: `FormatError` when a string cannot be read.
    package func summaries() throws(FormatError) -> [Summary] {
        var summaries: [Summary] = []
        for entry in entries {
            summaries.append(
                Summary(key: entry.key, type: entry.typeName, value: try text(of: entry)))
        }
        return summaries
    }

    private func text(of entry: Entry) throws(FormatError) -> String {
        switch entry.type {
        case .array: return "\(entry.count) elements"
        case .bool: return entry.bits == 1 ? "true" : "false"
        case .float32: return "\(Float(bitPattern: UInt32(truncatingIfNeeded: entry.bits)))"
        case .float64: return "\(Double(bitPattern: entry.bits))"
        case .string:
            let length = entry.payload.upperBound - entry.payload.lowerBound
            var reader = reader(entry)
            let beginning = try reader.bytes(Int(min(length, 512)), "the string")
            return shown(String(decoding: beginning, as: UTF8.self))
        default: return entry.type.integer(entry.bits).map(String.init) ?? "\(entry.bits)"
        }
    }
}

extension GGUFFile {
    /// How many numbers the weights are.
    package var parameterCount: Int {
        // An element takes at least half a byte, and the bytes' sum was bounded: this fits.
        tensors.reduce(0) { $0 + $1.elementCount }
    }

    /// The tensors of one type, together.
    package struct FormatSummary: Sendable, Equatable {
        package let type: GGUFType
        package let tensorCount: Int
        package let byteCount: Int
    }

    /// The types that occur, most bytes first.
    package func formatSummaries() -> [FormatSummary] {
        GGUFType.all.map { type in
            let tensors = tensors.filter { $0.type == type }
            return FormatSummary(
                type: type, tensorCount: tensors.count,
                byteCount: tensors.reduce(0) { $0 + $1.byteCount })
        }
        .filter { $0.tensorCount > 0 }
        .sorted { $0.byteCount > $1.byteCount }
    }
}
