// GGUF -> packed file. Streams every tensor once through a few threads'
// buffers of some megabytes; memory does not grow with the model. Weights in formats that kernels
// compute with are rearranged, never changed; others are re-quantised, and the error is told.
// Vectors are widened to 32-bit floats. docs/FORMAT.md is the result.

internal import ChatTemplates
internal import LinuxSystem
internal import ModelFamilies
package import ModelFormat
internal import Tokenization

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

/// What an import wrote.
package struct PackedResult: Sendable, Equatable {
    /// The packed file's size.
    package let byteCount: UInt64
    /// What was stored in another format than the source's.
    package let requantizations: [PackedRequantization]
}

/// What of a source no import keeps.
package struct LeftOut: Sendable, Equatable {
    /// Layers that only draft tokens.
    package let draftLayerCount: Int
    /// Bytes in the source.
    package let bytes: LeftOutBytes

    /// One phrase for people.
    package func sentence(_ size: (UInt64) -> String) -> String {
        var parts: [String] = []
        if bytes.draftLayers > 0 {
            let layers = draftLayerCount == 1 ? "1 draft layer" : "\(draftLayerCount) draft layers"
            parts.append("\(layers), \(size(UInt64(bytes.draftLayers)))")
        }
        if bytes.unreadKeys > 0 {
            parts.append(
                "keys of layers that read those of others, \(size(UInt64(bytes.unreadKeys)))")
        }
        return parts.joined(separator: "; ")
    }
}

/// Packs one model. Opening plans and refuses; ``write(to:overwrite:processID:observer:confirm:)``
/// does the work.
package struct Packer {
    let gguf: GGUFFile
    let parts: [any ByteSource]
    private let vocabulary: Vocabulary
    let plan: PackingPlan
    /// What of the source's directory was read otherwise than it says, a few words each.
    package let repairs: [String]
    /// Whether matrices are read as others that do not lie in the source as they are.
    private let splitsLatents: Bool

    /// Reads the headers of a model's parts and plans its packed file.
    ///
    /// - Parameters:
    ///   - activation: replaces the family's nonlinearity, for files that cannot name it.
    ///   - neurons: how they are arranged; nil bundles them where most of them are silent.
    ///   - sourceName: what the packed file calls its source; nil is the first part's name.
    /// - Throws: `PackingError.format` when the model is not one that can be packed so.
    package init(
        parts: [any ByteSource], activation: Activation? = nil, neurons: NeuronPacking? = nil,
        sourceName: String? = nil
    ) throws(PackingError) {
        let given = parts
        var (gguf, repairs) = try fromSource { () throws(FormatError) in
            let file = try GGUFFile(parts: given)
            try file.checkIsModel()
            return try file.repaired()
        }
        var shape = try fromSource { [gguf] () throws(FormatError) in try gguf.shape() }
        if let activation { shape = shape.with(activation: activation) }
        var parts = given
        let split = try fromSource { [gguf, shape] () throws(FormatError) in
            try SplitLatents(gguf, given, shape.latents.first)
        }
        if let split {
            gguf = try fromSource { [gguf] () throws(FormatError) in
                try gguf.with(part: split, tensors: split.tensors)
            }
            parts.append(split)
            repairs.append("attn_kv_b is attn_k_b and attn_v_b")
        }
        splitsLatents = split != nil
        let (vocabulary, decided) = try fromSource { () throws(FormatError) in
            try gguf.vocabulary()
        }.repaired()
        self.repairs = repairs + decided
        let file = parts[0].name
        // What no load accepts is no model to import.
        do { _ = try Tokenizer(vocabulary) } catch { throw .tokenizer(file: file, error) }
        guard vocabulary.tokens.count == shape.vocabularySize else {
            throw .format(
                FormatError(
                    file: file, expected: "\(shape.vocabularySize) tokens",
                    found: "\(vocabulary.tokens.count)"))
        }
        var vocabularyBytes = 0
        vocabulary.encodePacked { vocabularyBytes += $0.count }
        let source = PackedSource(
            fileName: PackingPlan.oneLine(sourceName ?? file),
            byteCount: given.reduce(0) { $0 + $1.byteCount },
            digest: Self.digest(header: 0, tensors: 0))
        plan = try fromSource { () throws(FormatError) in
            try PackingPlan(
                gguf: gguf, source: source, shape: shape,
                vocabularyBytes: vocabularyBytes, neurons: neurons)
        }
        self.gguf = gguf
        self.parts = parts
        self.vocabulary = vocabulary
    }

    /// Why the model cannot chat, or not by one of its further templates; else nil.
    package var chatNotice: String? {
        do throws(ChatTemplateError) {
            _ = try ChatTemplate(vocabulary.templates.plain)
        } catch {
            return error.description
        }
        for template in vocabulary.templates.others {
            do throws(ChatTemplateError) {
                _ = try ChatTemplate(template.source)
            } catch {
                return "chat template '\(template.name)': \(error)"
            }
        }
        return nil
    }

    /// What of the source is left out; nil where nothing is.
    package var leftOut: LeftOut? {
        guard plan.leftOutBytes != LeftOutBytes() else { return nil }
        return LeftOut(draftLayerCount: plan.draftLayers.count, bytes: plan.leftOutBytes)
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
    /// - Returns: what the packed file holds.
    /// - Throws: `PackingError`; the temporary file is gone then.
    package func write(
        to destination: String, overwrite: Bool, processID: Int32,
        observer: PackingObserver = PackingObserver(),
        confirm: () throws(PackingError) -> Void = { () throws(PackingError) in }
    ) throws(PackingError) -> PackedResult {
        let reserved = try plannedBytes()
        return try write(
            to: destination, overwrite: overwrite, consumption: nil, observer: observer,
            confirm: confirm
        ) { () throws(SystemError) in
            try PartialFile(
                destination: destination, processID: processID, byteCount: reserved)
        }
    }

    /// The same, of what arrives and may be gone on with later.
    func write(
        to destination: String, overwrite: Bool, processID: Int32, resumption: Resumption,
        observer: PackingObserver, confirm: () throws(PackingError) -> Void
    ) throws(PackingError) -> PackedResult {
        let reserved = try plannedBytes()
        resumption.find(
            fingerprint: try fingerprint(), parts.compactMap { $0 as? SequentialSource })
        let result = try write(
            to: destination, overwrite: overwrite, consumption: nil, resumption: resumption,
            observer: observer, confirm: confirm
        ) { () throws(SystemError) in
            if let file = try resumption.open(byteCount: reserved) { return file }
            return try PartialFile(
                destination: destination, processID: processID, byteCount: reserved)
        }
        resumption.finish()
        return result
    }

    /// The same; `consumption` frees what is packed of the source, `resumption` records it, and
    /// `open` opens the file that is written.
    func write(
        to destination: String, overwrite: Bool, consumption: Consumption?,
        resumption: Resumption? = nil, observer: PackingObserver,
        confirm: () throws(PackingError) -> Void,
        open: () throws(SystemError) -> PartialFile
    ) throws(PackingError) -> PackedResult {
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        let streams = parts.compactMap { $0 as? SequentialSource }
        let isSequential = !streams.isEmpty || consumption != nil
        if isSequential && splitsLatents {
            throw .format(
                FormatError(
                    file: parts[0].name,
                    expected: "attn_k_b and attn_v_b in what is packed as it comes, or consumed",
                    found: "attn_kv_b, which is turned: import it from a file that stays"))
        }
        let file = try fromDestination(open)
        let columnBytes = isSequential ? plan.columnBytesMax : 0
        let run = PackingRun(
            plan: plan, gguf: gguf, parts: parts, file: file, observer: observer,
            columnBytes: columnBytes)
        var worker = try PackingWorker(run, columnBytes: columnBytes)
        let headerChecksum = try headerChecksum()
        try worker.writeVocabulary(vocabulary)
        if isSequential {
            let isRecorded = consumption != nil || resumption != nil
            try performSteps(
                streams, consumption: consumption, resumption: resumption,
                fingerprint: isRecorded ? try fingerprint() : 0, &worker)
        } else {
            try worker.writeVectors()
            Self.performTasks(of: run, &worker)
            try run.throwFailure()
        }
        for table in RowTable.allCases { try worker.writeChecksums(of: table) }
        try worker.writeNeuronDirectories()
        let manifest = run.finalManifest(headerChecksum: headerChecksum)
        let byteCount = try worker.writeManifest(manifest, destination: destination)
        run.reportEnd()
        try confirm()
        do throws(SystemError) {
            try run.file.commit(to: destination, byteCount: byteCount, overwrite: overwrite)
        } catch {
            if !overwrite, error.isTaken { throw .exists(destination) }
            throw .destination(error)
        }
        return PackedResult(
            byteCount: byteCount, requantizations: manifest.requantizations ?? [])
    }

    /// What the packed file takes at most.
    func plannedBytes() throws(PackingError) -> UInt64 {
        plan.dataEnd + UInt64(try plannedManifest().count) + Self.manifestGrowthBytes
    }

    private func plannedManifest() throws(PackingError) -> [UInt8] {
        let planned = plan.manifest
        return try fromSource { () throws(FormatError) in
            try planned.encodedJSON(file: planned.source.fileName)
        }
    }

    /// Of the plan and of the source's directory: whether a journal is this import's.
    func fingerprint() throws(PackingError) -> UInt64 {
        let plan = Checksum.of(try plannedManifest()[...])
        return UInt64(plan) << 32 | UInt64(try headerChecksum())
    }

    /// What the manifest may grow by when checksums and errors replace the plan's zeros.
    private static let manifestGrowthBytes: UInt64 = 16 << 10
    /// Threads beyond these find the drive busy.
    private static let threadsMax = 4

    /// Performs all tasks by this thread and others: reading, arranging and writing of different
    /// extents overlap. Where the system gives no thread, this one does all.
    private static func performTasks(of run: PackingRun, _ worker: inout PackingWorker) {
        var threads: [Thread] = []
        for _ in 0..<min(threadsMax - 1, run.moreThreadsMax) {
            let thread = try? Thread {
                do throws(PackingError) {
                    var worker = try PackingWorker(run)
                    worker.performAll()
                } catch {
                    run.fail(error)
                }
            }
            if let thread { threads.append(thread) }
        }
        worker.performAll()
        for thread in threads { thread.join() }
    }

    /// The checksum of every part up to its first tensor's bytes: header, metadata and directory.
    private func headerChecksum() throws(PackingError) -> UInt32 {
        var checksum = Checksum()
        for (index, part) in parts.enumerated() {
            let end = gguf.tensors.lazy.filter { $0.part == index }.map(\.offset).min()
            if end == nil, let stream = part as? SequentialSource {
                _ = try fromSource { () throws(FormatError) in try stream.finish() }
            }
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

    static func digest(header: UInt32, tensors: UInt32) -> String {
        "crc32c:\(header.hexadecimal)-\(tensors.hexadecimal)"
    }
}
