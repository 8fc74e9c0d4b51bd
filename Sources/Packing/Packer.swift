// GGUF -> packed file. Streams every tensor once (tied embeddings twice) through two buffers of
// about a megabyte; memory does not grow with the model. Weights are rearranged, never changed;
// vectors are widened to 32-bit floats, which is exact. docs/FORMAT.md is the result.

internal import LinuxSystem
package import ModelFormat

/// How far an import is.
package struct PackingProgress: Sendable, Equatable {
    package let bytesDone: UInt64
    package let bytesTotal: UInt64
}

/// What an import tells its caller, and asks.
package struct PackingObserver: Sendable {
    /// Called after every extent.
    package let progress: @Sendable (PackingProgress) -> Void
    /// Asked before every extent; true ends the import with ``PackingError/cancelled``.
    package let isCancelled: @Sendable () -> Bool

    package init(
        progress: @escaping @Sendable (PackingProgress) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.progress = progress
        self.isCancelled = isCancelled
    }
}

/// Packs one model. Opening plans and refuses; ``write(to:overwrite:processID:observer:confirm:)``
/// does the work.
package struct Packer {
    private let gguf: GGUFFile
    private let parts: [any ByteSource]
    private let vocabulary: Vocabulary
    private var plan: PackingPlan

    /// Reads the headers of a model's parts and plans its packed file.
    ///
    /// - Parameter activation: replaces the family's nonlinearity, for files that cannot name it.
    /// - Throws: `PackingError.format` when the model is not one that can be packed whole.
    package init(
        parts: [any ByteSource], activation: Activation? = nil
    ) throws(PackingError) {
        let gguf = try fromSource { () throws(FormatError) in try GGUFFile(parts: parts) }
        var hyperparameters = try fromSource { () throws(FormatError) in
            try gguf.hyperparameters()
        }
        if let activation { hyperparameters.activation = activation }
        let vocabulary = try fromSource { () throws(FormatError) in try gguf.vocabulary() }
        let file = parts[0].name
        guard vocabulary.tokens.count == hyperparameters.vocabularySize else {
            throw .format(
                FormatError(
                    file: file, expected: "\(hyperparameters.vocabularySize) tokens",
                    found: "\(vocabulary.tokens.count)"))
        }
        var vocabularyBytes = 0
        vocabulary.encodePacked { vocabularyBytes += $0.count }
        let source = PackedSource(
            fileName: PackingPlan.oneLine(file), byteCount: parts.reduce(0) { $0 + $1.byteCount },
            digest: Self.digest(header: 0, tensors: 0))
        plan = try fromSource { () throws(FormatError) in
            try PackingPlan(
                gguf: gguf, source: source, hyperparameters: hyperparameters,
                vocabularyBytes: vocabularyBytes)
        }
        self.gguf = gguf
        self.parts = parts
        self.vocabulary = vocabulary
    }

    /// What the model calls itself, or its file's name.
    package var modelName: String { plan.manifest.modelName }

    /// Writes the packed file. Nothing appears under `destination` before it is whole and durable.
    ///
    /// - Parameters:
    ///   - processID: marks the temporary file, so that a later import can tell whether its owner
    ///     still runs.
    ///   - confirm: called when all was read and nothing has its name yet; throwing ends the
    ///     import.
    /// - Returns: the packed file's size in bytes.
    /// - Throws: `PackingError`; the temporary file is gone then.
    package func write(
        to destination: String, overwrite: Bool, processID: Int32,
        observer: PackingObserver = PackingObserver(),
        confirm: () throws(PackingError) -> Void = { () throws(PackingError) in }
    ) throws(PackingError) -> UInt64 {
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        var manifest = plan.manifest
        let manifestBytes = try fromSource { () throws(FormatError) in
            try manifest.encodedJSON(file: manifest.source.fileName).count
        }
        // Three checksums in decimal may be ten digits each where the planned zeros are one.
        let reserved = plan.dataEnd + UInt64(manifestBytes) + 64
        let file = try fromDestination { () throws(SystemError) in
            try PartialFile(
                destination: destination, processID: processID, byteCount: reserved)
        }
        var writer = PackingWriter(
            gguf: gguf, file: file, bytesTotal: plan.dataEnd,
            bufferBytes: plan.bufferBytes, observer: observer)
        manifest.vocabulary = try writer.writeVocabulary(vocabulary, at: manifest.vocabulary)
        manifest.embeddings.pageChecksums = try writer.writeEmbeddings(
            manifest.embeddings, from: plan.embeddings)
        manifest.vectors.extent = try writer.writeVectors(manifest.vectors, from: plan.vectors)
        for index in manifest.matrices.indices {
            manifest.matrices[index].checksums = try writer.writeMatrix(
                manifest.matrices[index], from: plan.matrices[index])
        }
        for index in manifest.experts.indices {
            manifest.experts[index].checksums = try writer.writeExperts(
                manifest.experts[index], from: plan.experts[index])
        }
        manifest.source.digest = Self.digest(
            header: try headerChecksum(), tensors: writer.tensorsChecksum)
        try confirm()
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        return try writer.finish(manifest, at: plan.dataEnd, destination: destination)
    }

    /// The checksum of every part up to its first tensor's bytes: header, metadata and directory.
    private func headerChecksum() throws(PackingError) -> UInt32 {
        var checksum = Checksum()
        for (index, part) in parts.enumerated() {
            let end = gguf.tensors.lazy.filter { $0.part == index }.map(\.offset).min()
            var offset: UInt64 = 0
            while offset < end ?? part.byteCount {
                let count = Int(min((end ?? part.byteCount) - offset, 1 << 16))
                let piece = try fromSource { () throws(FormatError) in
                    try part.packedBytes(at: offset, count: count)
                }
                checksum.add(piece[...])
                offset += UInt64(count)
            }
        }
        return checksum.value
    }

    private static func digest(header: UInt32, tensors: UInt32) -> String {
        "crc32c:\(header.hexadecimal)-\(tensors.hexadecimal)"
    }
}
