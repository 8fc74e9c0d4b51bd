// Reads a packed file back into GGUF's own bytes, written from docs/FORMAT.md and not from the
// packer: the other half of every round trip.

import Glibc
import LinuxSystem
import ModelFormat
import Packing
import Testing

/// A directory that goes away with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let number = UInt64.random(in: 0 ... .max)
        path = "/tmp/sluice-packing-\(getpid())-\(number)"
        try FileSystem.createDirectory(path)
    }

    deinit {
        for name in (try? FileSystem.names(in: path)) ?? [] {
            try? FileSystem.remove("\(path)/\(name)")
        }
        _ = unsafe rmdir(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    func names() throws -> [String] { try FileSystem.names(in: path) }

    func write(_ bytes: [UInt8], to name: String) throws {
        let file = try FileDescriptor(path: file(name), mode: .create)
        try file.write(unsafe bytes.span.bytes, at: 0)
    }
}

/// All bytes of a source.
func contents(_ source: any ByteSource) throws -> [UInt8] {
    try source.packedBytes(at: 0, count: Int(source.byteCount))
}

/// Packs `parts` and opens the result.
func pack(
    _ parts: [any ByteSource], in directory: TemporaryDirectory, name: String = "tiny.sluice",
    activation: Activation? = nil, neurons: NeuronPacking? = nil
) throws -> (model: PackedModel, source: FileByteSource) {
    let path = directory.file(name)
    _ = try Packer(parts: parts, activation: activation, neurons: neurons).write(
        to: path, overwrite: false, processID: getpid())
    let source = try FileByteSource(path: path)
    return (try PackedModel(source: source), source)
}

/// Row-tile bytes to GGUF rows: for each tile of 16 rows, each block, each field, each unit, each
/// of the 16 rows.
func untiled(
    _ tiles: [UInt8], format: WeightFormat, rows: Int, columns: Int
) -> [UInt8] {
    let rowBytes = format.rowBytes(columns: columns)
    var result = [UInt8](repeating: 0, count: rows * rowBytes)
    var input = 0
    for tile in 0..<(rows + 15) / 16 {
        for block in 0..<columns / format.blockElements {
            var fieldStart = block * format.blockBytes
            for field in format.fields {
                for unit in 0..<field.bytes / field.unit {
                    for row in tile * 16..<tile * 16 + 16 {
                        for byte in 0..<field.unit {
                            let value = tiles[input]
                            input += 1
                            if row < rows {
                                let place = fieldStart + unit * field.unit + byte
                                result[row * rowBytes + place] = value
                            } else if value != 0 {
                                Issue.record("missing rows are zeros")
                            }
                        }
                    }
                }
                fieldStart += field.bytes
            }
        }
    }
    return result
}

/// A packed model's tensors by the roles' names, in GGUF's bytes.
struct Unpacked {
    let model: PackedModel
    let source: any ByteSource

    private func read(_ extent: PackedExtent) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: extent.byteCount)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try model.read(extent, from: source, into: &raw)
        return bytes
    }

    func rows(of table: RowTable) throws -> [UInt8] {
        let record = try #require(model.manifest[table])
        // Tied: the output matrix is these.
        guard record.rowsPerExtent == nil else { return try matrix(.output) }
        return try source.packedBytes(at: record.offset, count: record.byteCount)
    }

    func matrix(_ role: MatrixRole, layer: Int? = nil) throws -> [UInt8] {
        let record = try #require(model.manifest.matrix(role, layer: layer))
        var result: [UInt8] = []
        for index in 0..<record.extentCount {
            let extent = record.extent(index)
            result += untiled(
                try read(extent.extent), format: record.format, rows: extent.rows.count,
                columns: record.columns)
        }
        return result
    }

    /// An expert's gate, up and down.
    func expert(_ index: Int, layer: Int) throws -> [[UInt8]] {
        let record = try #require(model.manifest.experts.first { $0.layer == layer })
        let bundle = try read(record.extent(index))
        return record.parts.map { part in
            let bytes = Array(bundle[part.byteOffset..<part.byteOffset + part.byteCount])
            return untiled(bytes, format: part.format, rows: part.rows, columns: part.columns)
        }
    }

    /// The biases of an expert's gate, up and down; empty where it has none.
    func expertBiases(_ index: Int, layer: Int) throws -> [[UInt8]] {
        let record = model.manifest.experts[layer]
        guard var place = record.biasOffset else { return [] }
        let bundle = try read(record.extent(index))
        return record.parts.map { part in
            defer { place += part.rows * 4 }
            return Array(bundle[place..<place + part.rows * 4])
        }
    }

    /// A layer's neurons, put together from their bundles: rows of the first projection, rows of up
    /// (none without a gate), and the down matrix as the source had it, where import keeps it.
    func neurons(layer: Int) throws -> (first: [UInt8], up: [UInt8], down: [UInt8]) {
        let record = try #require(model.manifest.neurons?[layer])
        let checksums = try model.neuronChecksums(record, from: source)
        let places = try model.neuronPlaces(record, from: source)
        let region = try (0..<record.bundleCount).flatMap { bundle in
            try read(record.extent(bundle: bundle, checksums: checksums))
        }
        var (first, up, columns): ([UInt8], [UInt8], [[UInt8]]) = ([], [], [])
        for place in places.map(Int.init) {
            let row = record.firstRowOffset(place: place)
            first += region[row..<row + record.firstBytes]
            let rest = record.restOffset(place: place)
            up += region[rest..<rest + record.upBytes]
            let column = record.columnOffset(place: place)
            columns.append(Array(region[column..<column + record.columnBytes]))
        }
        return (first, up, try down(record, columns))
    }

    /// Columns turned back into rows of blocks.
    private func down(_ record: PackedNeuronLayer, _ columns: [[UInt8]]) throws -> [UInt8] {
        let scales = try record.scales.map { try read($0) }
        var bytes: [UInt8] = []
        for row in 0..<record.width {
            guard let scales else {
                let unit = record.down.blockBytes
                bytes += columns.flatMap { $0[row * unit..<(row + 1) * unit] }
                continue
            }
            for block in 0..<record.count / 32 {
                let scale = (block * record.width + row) * 2
                bytes += scales[scale..<scale + 2]
                let quants = (0..<32).map { columns[block * 32 + $0][row] }
                if record.down == .q8_0 {
                    bytes += quants
                } else {
                    bytes += (0..<16).map { (quants[$0] &+ 8) | (quants[$0 + 16] &+ 8) << 4 }
                }
            }
        }
        return bytes
    }

    /// A vector's 32-bit floats as bytes.
    func vector(_ role: VectorRole, layer: Int? = nil) throws -> [UInt8] {
        let record = try #require(model.manifest.vectors.entry(role, layer: layer))
        let bytes = try read(model.manifest.vectors.extent)
        return Array(bytes[record.byteOffset..<record.byteOffset + record.count * 4])
    }
}

enum Fixtures {
    static let root: String = {
        var root = #filePath
        for _ in 0..<3 { root = FileSystem.parent(of: root) }
        return root
    }()
    static let gguf = root + "/Tests/Fixtures/gguf/"

    /// The models beside the repository, where there are any.
    static let sharedModels: [String] = {
        let directory = root + "/../shared/models"
        let names = (try? FileSystem.names(in: directory)) ?? []
        return names.filter { $0.hasSuffix(".gguf") }.map { "\(directory)/\($0)" }
    }()
}

/// A packed file in memory that can be taken apart and put together with correct checksums.
struct PackedBytes {
    var bytes: [UInt8]

    init(_ tiny: TinyModel) throws {
        let directory = try TemporaryDirectory()
        bytes = try contents(pack([tiny.source()], in: directory).source)
    }

    var source: ByteArraySource { ByteArraySource(name: "tiny.sluice", bytes: bytes) }

    private var manifestOffset: Int {
        (0..<8).reduce(0) { $0 | Int(bytes[16 + $1]) << ($1 * 8) }
    }

    var manifest: [UInt8] { Array(bytes[manifestOffset...]) }

    /// The same file with another manifest, all checksums correct.
    func replacingManifest(
        _ json: [UInt8], version: Int = PackedLayout.formatVersion
    ) -> PackedBytes {
        let offset = manifestOffset
        var copy = self
        let header = PackedHeader(
            version: version,
            manifest: PackedExtent(
                offset: UInt64(offset), byteCount: json.count, checksum: Checksum.of(json[...])),
            fileByteCount: UInt64(offset + json.count))
        copy.bytes = header.encoded + bytes[PackedLayout.headerBytes..<offset] + json
        return copy
    }

    /// Makes the header's own checksum correct again.
    mutating func fixHeader() {
        let end = PackedLayout.headerBytes - 4
        let checksum = Checksum.of(bytes[..<end])
        for index in 0..<4 {
            bytes[end + index] = UInt8(truncatingIfNeeded: checksum >> (index * 8))
        }
    }
}
