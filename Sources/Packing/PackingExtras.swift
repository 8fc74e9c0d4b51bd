// The extents of a packed file that are made in memory rather than moved through it: vocabulary,
// vectors, the checksums of tables of rows, manifest and header. One thread writes them.

internal import LinuxSystem
internal import ModelFormat

extension PackingWorker {
    mutating func writeVocabulary(_ vocabulary: Vocabulary) throws(PackingError) {
        let planned = run.plan.manifest.vocabulary
        let written = try writeExtent(at: planned.offset) { worker throws(PackingError) in
            try vocabulary.encodePacked { (piece: [UInt8]) throws(PackingError) in
                try worker.append(piece[...])
            }
        }
        precondition(written.byteCount == planned.byteCount, "planned size is written")
        run.set { $0.vocabulary = written }
    }

    /// Every vector as 32-bit floats.
    mutating func writeVectors() throws(PackingError) {
        let record = run.plan.manifest.vectors
        let start = record.extent.offset
        let written = try writeExtent(at: start) { worker throws(PackingError) in
            for (entry, elements) in zip(record.entries, worker.run.plan.vectors) {
                try worker.pad(to: start + UInt64(entry.byteOffset))
                let floats = try worker.widened(elements)
                try worker.append(floats[...])
            }
        }
        precondition(written.byteCount == record.extent.byteCount, "planned size is written")
        run.set { $0.vectors.extent = written }
    }

    /// A vector's elements as little-endian 32-bit floats: exact for floats of 16 and 32 bits.
    func widened(_ elements: VectorElements) throws(PackingError) -> [UInt8] {
        let (tensor, range) = (elements.tensor, elements.bytes)
        // Validation bounds vectors to 2^18 elements.
        let bytes = try fromSource { () throws(FormatError) in
            try run.parts[tensor.part].packedBytes(
                at: tensor.offset + UInt64(range.lowerBound), count: range.count)
        }
        run.addSource(
            tensor, Checksum.of(unsafe bytes.span.bytes), at: range.lowerBound, count: range.count)
        let (floats, error) = Conversion.widened(elements, bytes)
        if tensor.type.format == nil { run.addConversion(tensor, error, at: range.lowerBound) }
        return floats
    }

    /// The checksums of a table's pages.
    mutating func writeChecksums(of table: RowTable) throws(PackingError) {
        guard let planned = run.plan.manifest[table]?.pageChecksums else { return }
        let bytes = run.checksums(of: table).flatMap(\.littleEndianBytes)
        let written = try writeExtent(at: planned.offset) { worker throws(PackingError) in
            try worker.append(bytes[...])
        }
        precondition(written.byteCount == planned.byteCount, "planned size is written")
        run.set {
            switch table {
            case .embeddings: $0.embeddings.pageChecksums = written
            case .layerEmbeddings: $0.layerEmbeddings?.pageChecksums = written
            case .positionEmbeddings: $0.positionEmbeddings?.pageChecksums = written
            }
        }
    }

    /// Writes manifest and header, and returns the file's size.
    mutating func writeManifest(
        _ manifest: PackedManifest, destination: String
    ) throws(PackingError) -> UInt64 {
        let start = run.plan.dataEnd
        let json = try fromSource { () throws(FormatError) in
            let json = try manifest.encodedJSON(file: manifest.source.fileName)
            // What was written is read back by the reader's own rules before it gets its name.
            try PackedManifest(json: json, file: destination, offset: start)
                .validate(file: destination, dataEnd: start)
            return json
        }
        guard json.count <= PackedLimits.manifestBytesMax else {
            throw .format(
                FormatError(
                    file: manifest.source.fileName,
                    expected: "a manifest of at most \(PackedLimits.manifestBytesMax) bytes",
                    found: "\(json.count)"))
        }
        let extent = try writeExtent(at: start) { worker throws(PackingError) in
            try worker.append(json[...])
        }
        let fileByteCount = start + UInt64(json.count)
        let header = PackedHeader(manifest: extent, fileByteCount: fileByteCount).encoded
        try fromDestination { () throws(SystemError) in
            try run.file.write(unsafe header.span.bytes, at: 0)
        }
        return fileByteCount
    }
}
