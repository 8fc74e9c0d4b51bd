// Moves bytes from a GGUF file to a packed file, extent by extent, front to back, keeping checksums
// of both sides. Where things go was decided by the plan.

import LinuxSystem
import ModelFormat

/// The state of one import: the unfinished file, two buffers, and the source's checksums.
struct PackingWriter: ~Copyable {
    private let gguf: GGUFFile
    private var file: PartialFile
    private let bytesTotal: UInt64
    private let observer: PackingObserver
    private var buffers: PackingBuffers
    /// Of the extent being written.
    private var checksum = Checksum()
    /// Where the next piece of it goes.
    private var offset: UInt64 = 0

    init(
        gguf: GGUFFile, file: consuming PartialFile, bytesTotal: UInt64, bufferBytes: Int,
        observer: PackingObserver
    ) {
        self.gguf = gguf
        self.file = file
        self.bytesTotal = bytesTotal
        self.observer = observer
        buffers = PackingBuffers(byteCount: bufferBytes)
    }

    /// The checksum of all tensors' checksums, little-endian, in the source's order.
    var tensorsChecksum: UInt32 {
        var checksum = Checksum()
        for tensor in gguf.tensors {
            checksum.add(buffers.checksum(of: tensor).littleEndianBytes[...])
        }
        return checksum.value
    }

    // MARK: - Extents

    mutating func writeVocabulary(
        _ vocabulary: Vocabulary, at extent: PackedExtent
    ) throws(PackingError) -> PackedExtent {
        try begin(at: extent.offset)
        try vocabulary.encodePacked { (piece: [UInt8]) throws(PackingError) in
            try append(piece[...])
        }
        precondition(offset == extent.offset + UInt64(extent.byteCount), "planned size is written")
        return PackedExtent(
            offset: extent.offset, byteCount: extent.byteCount, checksum: end())
    }

    /// Rows as they are, and a checksum per page.
    mutating func writeEmbeddings(
        _ record: PackedRows, from tensor: GGUFTensor
    ) throws(PackingError) -> PackedExtent {
        let page = PackedLayout.alignment
        let pieceBytes = PackedLayout.extentBytesMax
        var checksums: [UInt8] = []
        checksums.reserveCapacity(record.pageCount * 4)
        for start in stride(from: 0, to: record.byteCount, by: pieceBytes) {
            let count = min(pieceBytes, record.byteCount - start)
            try begin(at: record.offset + UInt64(start))
            try read(tensor, at: start, count: count, paddedTo: PackedLayout.aligned(count))
            for pageStart in stride(from: 0, to: count, by: page) {
                let value = Checksum.of(buffers.rows(pageStart..<pageStart + page))
                checksums += value.littleEndianBytes
            }
            try append(buffers.rows(0..<PackedLayout.aligned(count)))
            _ = end()
        }
        let extent = record.pageChecksums
        try begin(at: extent.offset)
        try append(checksums[...])
        return PackedExtent(
            offset: extent.offset, byteCount: extent.byteCount, checksum: end())
    }

    /// Every vector as 32-bit floats.
    mutating func writeVectors(
        _ record: PackedVectors, from tensors: [GGUFTensor]
    ) throws(PackingError) -> PackedExtent {
        let start = record.extent.offset
        try begin(at: start)
        for (entry, tensor) in zip(record.entries, tensors) {
            try pad(to: start + UInt64(entry.byteOffset))
            // Validation bounds vectors to 2^18 elements, which fit the buffer as 32-bit floats.
            try read(tensor, at: 0, count: tensor.byteCount, paddedTo: tensor.byteCount)
            try append(buffers.widened(count: entry.count, format: tensor.format)[...])
        }
        return PackedExtent(
            offset: start, byteCount: record.extent.byteCount, checksum: end())
    }

    mutating func writeMatrix(
        _ record: PackedMatrix, from tensor: GGUFTensor
    ) throws(PackingError) -> PackedChecksums {
        var checksums: [UInt32] = []
        checksums.reserveCapacity(record.extentCount)
        let source = TensorRows(tensor: tensor, byteOffset: 0)
        for index in 0..<record.extentCount {
            let extent = record.extent(index)
            try begin(at: extent.offset)
            try writeTiles(extent.rows, of: source, columns: record.columns)
            checksums.append(end())
        }
        return PackedChecksums(checksums)
    }

    mutating func writeExperts(
        _ record: PackedExpertLayer, from experts: [[TensorRows]]
    ) throws(PackingError) -> PackedChecksums {
        var checksums: [UInt32] = []
        checksums.reserveCapacity(record.count)
        for index in 0..<record.count {
            let start = record.extent(index).offset
            try begin(at: start)
            for (part, source) in zip([record.gate, record.up, record.down], experts[index]) {
                try pad(to: start + UInt64(part.byteOffset))
                let step = PackedLayout.rowsPerExtent(
                    format: part.format, rows: part.rows, columns: part.columns)
                for row in Swift.stride(from: 0, to: part.rows, by: step) {
                    let range = row..<min(row + step, part.rows)
                    try writeTiles(range, of: source, columns: part.columns)
                }
            }
            checksums.append(end())
        }
        return PackedChecksums(checksums)
    }

    /// Writes manifest and header, gives the file its name and returns its size.
    mutating func finish(
        _ manifest: PackedManifest, at manifestOffset: UInt64, destination: String
    ) throws(PackingError) -> UInt64 {
        let json = try fromSource { () throws(FormatError) in
            let json = try manifest.encodedJSON(file: manifest.source.fileName)
            // What was written is read back by the reader's own rules before it gets its name.
            try PackedManifest(json: json, file: destination, offset: manifestOffset)
                .validate(file: destination, dataEnd: manifestOffset)
            return json
        }
        guard json.count <= PackedLimits.manifestBytesMax else {
            throw .format(
                FormatError(
                    file: manifest.source.fileName,
                    expected: "a manifest of at most \(PackedLimits.manifestBytesMax) bytes",
                    found: "\(json.count)"))
        }
        try begin(at: manifestOffset)
        try append(json[...])
        let fileByteCount = offset
        let extent = PackedExtent(
            offset: manifestOffset, byteCount: json.count, checksum: end())
        try begin(at: 0)
        try append(PackedHeader(manifest: extent, fileByteCount: fileByteCount).encoded[...])
        try fromDestination { () throws(SystemError) in
            try file.commit(to: destination, byteCount: fileByteCount)
        }
        return fileByteCount
    }

    // MARK: - Pieces

    private mutating func begin(at start: UInt64) throws(PackingError) {
        if observer.isCancelled() { throw .cancelled }
        offset = start
        checksum = Checksum()
    }

    /// Ends the extent and returns its checksum.
    private func end() -> UInt32 {
        observer.progress(
            PackingProgress(bytesDone: min(offset, bytesTotal), bytesTotal: bytesTotal))
        return checksum.value
    }

    private mutating func append(_ bytes: ArraySlice<UInt8>) throws(PackingError) {
        checksum.add(bytes)
        try fromDestination { () throws(SystemError) in
            try file.write(unsafe bytes.span.bytes, at: offset)
        }
        offset += UInt64(bytes.count)
    }

    private mutating func pad(to position: UInt64) throws(PackingError) {
        guard position > offset else { return }
        try append([UInt8](repeating: 0, count: Int(position - offset))[...])
    }

    private mutating func read(
        _ tensor: GGUFTensor, at byteOffset: Int, count: Int, paddedTo paddedCount: Int
    ) throws(PackingError) {
        do {
            try buffers.load(
                tensor, of: gguf, at: byteOffset, count: count, paddedCount: paddedCount)
        } catch {
            throw .format(error)
        }
    }

    /// Some rows of a matrix as tiles, in the buffer's portions.
    private mutating func writeTiles(
        _ range: Range<Int>, of source: TensorRows, columns: Int
    ) throws(PackingError) {
        let format = source.tensor.format
        let rowBytes = format.rowBytes(columns: columns)
        let tiledBytes = format.tiledBytes(rows: range.count, columns: columns)
        try read(
            source.tensor, at: source.byteOffset + range.lowerBound * rowBytes,
            count: range.count * rowBytes, paddedTo: tiledBytes)
        buffers.arrange(count: tiledBytes, format: format, columns: columns)
        try append(buffers.tiles(0..<tiledBytes))
    }
}

extension UInt32 {
    /// Four bytes in the file's order.
    fileprivate var littleEndianBytes: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
    }
}
