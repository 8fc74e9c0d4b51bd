// How far an import is, as bytes: what a later process needs to go on with an unfinished packed
// file whose source is partly gone.

internal import ModelFormat
internal import Synchronization

/// The steps that are done, and all that was found in them.
struct PackingJournal {
    static let magic = Array("SLUICEJ1".utf8)
    static let byteCountMax = 256 << 20

    /// Of the plan and the source's directory: whose import it is.
    let fingerprint: UInt64
    let stepsDone: Int
    private let results: ArraySlice<UInt8>

    /// Reads a journal.
    ///
    /// - Returns: nil for bytes that are none, or not whole.
    init?(_ bytes: [UInt8]) {
        var reader = JournalReader(bytes: bytes[...])
        guard bytes.count >= Self.magic.count + 4, bytes.starts(with: Self.magic) else {
            return nil
        }
        let end = bytes.count - 4
        var tail = JournalReader(bytes: bytes[end...])
        guard tail.word() == Checksum.of(bytes[..<end]) else { return nil }
        reader.bytes = bytes[Self.magic.count..<end]
        guard let fingerprint = reader.long(), let steps = reader.long(),
            let stepsDone = Int(exactly: steps)
        else { return nil }
        self.fingerprint = fingerprint
        self.stepsDone = stepsDone
        results = reader.bytes
    }

    /// A journal of what `run` has found.
    static func bytes(
        of run: PackingRun, fingerprint: UInt64, stepsDone: Int
    ) throws(FormatError) -> [UInt8] {
        let state = run.state.withLock { $0 }
        var writer = JournalWriter(bytes: magic)
        writer.add(fingerprint)
        writer.add(UInt64(stepsDone))
        let manifest = try state.manifest.encodedJSON(file: state.manifest.source.fileName)
        writer.add(UInt64(manifest.count))
        writer.bytes += manifest
        for list in state.rowChecksums { writer.add(list) }
        for list in state.neuronChecksums { writer.add(list) }
        writer.add(state.scaleChecksums.map(\.value))
        writer.add(run.gguf.tensors.map { state.sourceChecksums[$0.name]?.value ?? 0 })
        for tensor in run.gguf.tensors {
            let pieces = state.conversions[tensor.name] ?? []
            writer.add(UInt64(pieces.count))
            for piece in pieces {
                writer.add(UInt64(piece.byteOffset))
                writer.add(piece.error.error.bitPattern)
                writer.add(piece.error.norm.bitPattern)
            }
        }
        writer.add(UInt64(state.bytesDone))
        writer.bytes += Checksum.of(writer.bytes[...]).littleEndianBytes
        return writer.bytes
    }

    /// Gives `run`, of the same fingerprint, what was found.
    ///
    /// - Returns: whether all of it was there.
    func restore(_ run: PackingRun) -> Bool {
        var reader = JournalReader(bytes: results)
        return run.state.withLock { state in
            guard let count = reader.long(), count <= UInt64(reader.bytes.count) else {
                return false
            }
            let json = Array(reader.bytes.prefix(Int(count)))
            reader.bytes = reader.bytes.dropFirst(json.count)
            let name = state.manifest.source.fileName
            guard let manifest = try? PackedManifest(json: json, file: name, offset: 0),
                let rows = reader.lists(like: state.rowChecksums),
                let neurons = reader.lists(like: state.neuronChecksums),
                let scales = reader.words(state.scaleChecksums.count),
                let sources = reader.words(run.gguf.tensors.count)
            else { return false }
            for (tensor, value) in zip(run.gguf.tensors, sources) {
                state.sourceChecksums[tensor.name] = ChecksumSum(value)
                guard let pieces = reader.long(), pieces <= UInt64(reader.bytes.count) else {
                    return false
                }
                for _ in 0..<pieces {
                    guard let offset = reader.long(), let error = reader.long(),
                        let norm = reader.long()
                    else { return false }
                    state.conversions[tensor.name, default: []].append(
                        PackingRun.ConversionPiece(
                            byteOffset: Int(clamping: offset),
                            error: ConversionError(
                                error: Double(bitPattern: error),
                                norm: Double(bitPattern: norm))))
                }
            }
            guard let done = reader.long(), reader.bytes.isEmpty else { return false }
            state.manifest = manifest
            state.rowChecksums = rows
            state.neuronChecksums = neurons
            state.scaleChecksums = scales.map { ChecksumSum($0) }
            state.bytesDone = done
            return true
        }
    }
}

struct JournalWriter {
    var bytes: [UInt8]

    mutating func add(list: [UInt8]) {
        add(UInt64(list.count))
        bytes += list
    }

    mutating func add(_ value: UInt64) {
        bytes += UInt32(truncatingIfNeeded: value).littleEndianBytes
        bytes += UInt32(truncatingIfNeeded: value >> 32).littleEndianBytes
    }

    mutating func add(_ words: [UInt32]) {
        for word in words { bytes += word.littleEndianBytes }
    }
}

/// Takes from the front; nil where there is not enough.
struct JournalReader {
    var bytes: ArraySlice<UInt8>

    mutating func list() -> [UInt8]? {
        guard let count = long(), count <= UInt64(bytes.count) else { return nil }
        defer { bytes = bytes.dropFirst(Int(count)) }
        return Array(bytes.prefix(Int(count)))
    }

    mutating func word() -> UInt32? {
        guard bytes.count >= 4 else { return nil }
        defer { bytes = bytes.dropFirst(4) }
        return bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func long() -> UInt64? {
        guard bytes.count >= 8, let low = word(), let high = word() else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    mutating func words(_ count: Int) -> [UInt32]? {
        guard bytes.count / 4 >= count else { return nil }
        return (0..<count).compactMap { _ in word() }
    }

    /// Lists as long as others.
    mutating func lists(like others: [[UInt32]]) -> [[UInt32]]? {
        var lists: [[UInt32]] = []
        for other in others {
            guard let words = words(other.count) else { return nil }
            lists.append(words)
        }
        return lists
    }
}
