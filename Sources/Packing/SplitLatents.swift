// Files of latent attention from before 2025-04 have of each layer one matrix that makes keys and
// values of latents (`attn_kv_b`), where later ones have two (`attn_k_b`, turned for absorbing, and
// `attn_v_b`). It is read as those two.

internal import Compute
internal import ModelFormat

/// Reads a file's `attn_kv_b` as what later files have: the bytes of all their `attn_k_b` and
/// `attn_v_b`, one after the other.
struct SplitLatents: ByteSource {
    let name: String
    /// In the order of their bytes.
    private let regions: [Region]
    private let sources: [any ByteSource]
    /// The parts that they are in, and the tensors that this reads.
    let tensors: [GGUFTensor]

    /// A layer's keys, or its values.
    private struct Region {
        /// The matrix that holds both: of each head rows for keys, then for values.
        let source: GGUFTensor
        let format: WeightFormat
        let isKeys: Bool
        let plainWidth: Int
        let valueWidth: Int
        let tensor: GGUFTensor

        var rowsOfHead: Int { plainWidth + valueWidth }
        var headBytes: Int { tensor.byteCount / (source.rows / rowsOfHead) }
    }

    /// - Parameter mixer: of the model's layers; nil where they have no latents.
    /// - Returns: nil for a file without such matrices.
    /// - Throws: `FormatError` where they do not have the shape that the metadata says, or a type
    ///   that is not turned.
    init?(
        _ gguf: GGUFFile, _ sources: [any ByteSource], _ mixer: LatentMixer?
    ) throws(FormatError) {
        let old = gguf.tensors.filter { $0.name.hasSuffix(".attn_kv_b.weight") }
        guard let mixer, !old.isEmpty else { return nil }
        name = sources[0].name
        self.sources = sources
        var (regions, end): ([Region], UInt64) = ([], 0)
        for source in old {
            for isKeys in [true, false] {
                let region = try Self.region(
                    source, isKeys: isKeys, mixer, part: sources.count, offset: end, file: name)
                regions.append(region)
                end += UInt64(region.tensor.byteCount)
            }
        }
        self.regions = regions
        let split = Dictionary(grouping: regions) { $0.source.name }
        tensors = gguf.tensors.flatMap { tensor in
            split[tensor.name].map { $0.map(\.tensor) } ?? [tensor]
        }
    }

    private static func region(
        _ source: GGUFTensor, isKeys: Bool, _ mixer: LatentMixer, part: Int, offset: UInt64,
        file: String
    ) throws(FormatError) -> Region {
        let (rank, heads) = (mixer.keyValueRank, mixer.headCount)
        let rows = heads * (mixer.plainHeadWidth + mixer.valueHeadWidth)
        guard source.dimensions == [rank, rows],
            let own = source.type.format
        else {
            throw FormatError(
                file: file,
                expected: "\(source.name) of \(rank) x \(rows), of a type that kernels "
                    + "compute with",
                found: source.dimensions.map(String.init).joined(separator: " x ")
                    + " of \(source.type.name)")
        }
        // Blocks lie along rows, which are columns then: half floats hold what they were.
        let format = isKeys && !own.multipliesFloats ? WeightFormat.f16 : own
        let (columns, height) =
            isKeys ? (mixer.plainHeadWidth, rank) : (rank, mixer.valueHeadWidth)
        let stem = source.name.dropLast("kv_b.weight".count)
        let name = stem + (isKeys ? "k_b" : "v_b") + ".weight"
        let tensor = GGUFTensor(
            name: String(name), type: GGUFType(format),
            dimensions: [columns, height, heads], part: part, offset: offset,
            byteCount: heads * height * format.rowBytes(columns: columns))
        return Region(
            source: source, format: own, isKeys: isKeys, plainWidth: mixer.plainHeadWidth,
            valueWidth: mixer.valueHeadWidth, tensor: tensor)
    }

    var byteCount: UInt64 { regions.reduce(0) { $0 + UInt64($1.tensor.byteCount) } }

    func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let (start, end) = (Int(clamping: offset), Int(clamping: offset) + buffer.byteCount)
        guard UInt64(clamping: end) <= byteCount else {
            throw FormatError(
                file: name, offset: offset, expected: "\(buffer.byteCount) bytes", found: "fewer")
        }
        for region in regions {
            let first = Int(region.tensor.offset)
            let wanted = (start..<end).clamped(to: first..<first + region.tensor.byteCount)
            guard !wanted.isEmpty else { continue }
            let size = region.headBytes
            let (low, high) = (wanted.lowerBound - first, wanted.upperBound - first)
            for head in low / size..<(high + size - 1) / size {
                let bytes = try self.bytes(of: region, head: head)
                let all = first + head * size..<first + (head + 1) * size
                let some = all.clamped(to: wanted)
                for index in some {
                    buffer.storeBytes(
                        of: bytes[index - all.lowerBound], toByteOffset: index - start,
                        as: UInt8.self)
                }
            }
        }
    }

    /// A head's rows of the matrix that the region is.
    private func bytes(of region: Region, head: Int) throws(FormatError) -> [UInt8] {
        let source = region.source
        let rowBytes = region.format.rowBytes(columns: source.columns)
        let first = head * region.rowsOfHead + (region.isKeys ? 0 : region.plainWidth)
        let count = region.isKeys ? region.plainWidth : region.valueWidth
        let rows = try sources[source.part].packedBytes(
            at: source.offset + UInt64(first * rowBytes), count: count * rowBytes)
        return region.isKeys ? turned(rows, region, rowBytes: rowBytes) : rows
    }

    /// Rows for keys become columns.
    private func turned(_ rows: [UInt8], _ region: Region, rowBytes: Int) -> [UInt8] {
        let (rank, width) = (region.source.columns, region.plainWidth)
        let stored = region.tensor.type.format ?? .f16
        let size = stored.blockBytes
        var result = [UInt8](repeating: 0, count: rank * width * size)
        var line = [Float](repeating: 0, count: rank)
        for column in 0..<width {
            var values = line.mutableSpan
            let bytes = unsafe rows.span.bytes.extracting(
                column * rowBytes..<(column + 1) * rowBytes)
            Kernels.best.dequantize(
                row: bytes, format: region.format, columns: rank, into: &values)
            for row in 0..<rank {
                let bits =
                    switch stored {
                    case .f32: line[row].bitPattern
                    case .bf16: line[row].bitPattern >> 16
                    default: UInt32(Float16(line[row]).bitPattern)
                    }
                let place = (row * width + column) * size
                for byte in 0..<size {
                    result[place + byte] = UInt8(truncatingIfNeeded: bits >> (8 * UInt32(byte)))
                }
            }
        }
        return result
    }
}
