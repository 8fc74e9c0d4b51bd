// What the threads of one import share: the plan, the unfinished file, and behind one lock the
// tasks that are left and the checksums and errors found so far.

internal import Memory
internal import ModelFormat
import Synchronization

/// One import under way.
final class PackingRun: Sendable {
    let plan: PackingPlan
    let gguf: GGUFFile
    let parts: [any ByteSource]
    let file: PartialFile
    /// Of all threads' buffers.
    let ledger: MemoryLedger
    /// What all threads' buffers together may take, unless one thread's are more.
    private static let buffersBytesMax = 16 << 20
    private let observer: PackingObserver
    let state: Mutex<State>

    struct State {
        var tasks: PackingTasks
        /// The plan's, with the checksums of what was written.
        var manifest: PackedManifest
        /// Of each table of rows, one for each page.
        var rowChecksums: [[UInt32]]
        /// Two for each bundle of neurons, by layer.
        var neuronChecksums: [[UInt32]]
        /// Of the scales beside them.
        var scaleChecksums: [ChecksumSum]
        /// Of each tensor's source bytes, by its name.
        var sourceChecksums: [String: ChecksumSum] = [:]
        var conversions: [String: [ConversionPiece]] = [:]
        var bytesDone: UInt64 = 0
        var failure: PackingError?
    }

    /// What the conversion of one piece of a tensor changed.
    struct ConversionPiece {
        let byteOffset: Int
        let error: ConversionError
    }

    init(
        plan: PackingPlan, gguf: GGUFFile, parts: [any ByteSource], file: consuming PartialFile,
        observer: PackingObserver, columnBytes: Int = 0
    ) {
        self.plan = plan
        self.gguf = gguf
        self.parts = parts
        self.file = file
        ledger = MemoryLedger(
            limitBytes: MemoryLedger.processBytes
                + max(Self.buffersBytesMax, PackingBuffers.byteCount(plan)) + columnBytes)
        self.observer = observer
        state = Mutex(
            State(
                tasks: PackingTasks(plan), manifest: plan.manifest,
                rowChecksums: RowTable.allCases.map {
                    [UInt32](repeating: 0, count: plan.manifest[$0]?.pageCount ?? 0)
                },
                neuronChecksums: (plan.manifest.neurons ?? []).map {
                    [UInt32](repeating: 0, count: $0.bundleCount)
                },
                scaleChecksums: (plan.manifest.neurons ?? []).map { _ in ChecksumSum() }))
    }

    /// Threads whose buffers there is memory for beside the first's.
    var moreThreadsMax: Int { ledger.leftBytes / max(1, PackingBuffers.byteCount(plan)) }

    // MARK: Taking tasks

    /// The next task; nil when none is left or the import has failed.
    func nextTask() -> PackingTask? {
        state.withLock { $0.failure == nil ? $0.tasks.next() : nil }
    }

    /// Asked before every extent.
    func checkCancelled() throws(PackingError) {
        if observer.isCancelled() { throw .cancelled }
    }

    /// Ends the import; of several failures the first is told.
    func fail(_ error: PackingError) {
        state.withLock { if $0.failure == nil { $0.failure = error } }
    }

    func throwFailure() throws(PackingError) {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    // MARK: Results

    /// Counts written bytes. Under the lock, so that what the caller sees ascends.
    func advance(byteCount: Int) {
        state.withLock { state in
            state.bytesDone = min(state.bytesDone + UInt64(byteCount), plan.dataEnd)
            observer.progress(
                PackingProgress(bytesDone: state.bytesDone, bytesTotal: plan.dataEnd))
        }
    }

    func reportEnd() {
        observer.progress(PackingProgress(bytesDone: plan.dataEnd, bytesTotal: plan.dataEnd))
    }

    func set(_ change: (inout PackedManifest) -> Void) {
        state.withLock { change(&$0.manifest) }
    }

    func setChecksums(_ checksums: [UInt32], of table: RowTable, from page: Int) {
        state.withLock { state in
            for (index, value) in checksums.enumerated() {
                state.rowChecksums[table.rawValue][page + index] = value
            }
        }
    }

    func checksums(of table: RowTable) -> [UInt32] {
        state.withLock { $0.rowChecksums[table.rawValue] }
    }

    func setNeuronChecksums(_ checksums: [UInt32], layer: Int, from bundle: Int) {
        state.withLock { state in
            for (index, value) in checksums.enumerated() {
                state.neuronChecksums[layer][bundle + index] = value
            }
        }
    }

    func neuronChecksums(layer: Int) -> [UInt32] {
        state.withLock { $0.neuronChecksums[layer] }
    }

    /// Adds what some bytes are in a bundle's checksum. Every byte once.
    func addNeurons(_ share: UInt32, layer: Int, bundle: Int) {
        state.withLock { $0.neuronChecksums[layer][bundle] ^= share }
    }

    func addScales(_ checksum: UInt32, layer: Int, bytesAfter: Int) {
        state.withLock { $0.scaleChecksums[layer].add(checksum, bytesAfter: bytesAfter) }
    }

    func scalesChecksum(layer: Int) -> UInt32 {
        state.withLock { $0.scaleChecksums[layer].value }
    }

    /// Notes what some bytes of a tensor are in its checksum. Every byte once.
    func addSource(_ tensor: GGUFTensor, _ share: UInt32) {
        state.withLock {
            $0.sourceChecksums[tensor.name, default: ChecksumSum()].add(share)
        }
    }

    /// Notes the checksum of a piece of a tensor's source bytes. Every byte once.
    func addSource(_ tensor: GGUFTensor, _ checksum: UInt32, at byteOffset: Int, count: Int) {
        state.withLock {
            $0.sourceChecksums[tensor.name, default: ChecksumSum()].add(
                checksum, bytesAfter: tensor.byteCount - byteOffset - count)
        }
    }

    func addConversion(_ tensor: GGUFTensor, _ error: ConversionError, at byteOffset: Int) {
        state.withLock {
            $0.conversions[tensor.name, default: []].append(
                ConversionPiece(byteOffset: byteOffset, error: error))
        }
    }

    /// The manifest with everything found; complete once all tasks are done.
    func finalManifest(headerChecksum: UInt32) -> PackedManifest {
        state.withLock { state in
            var manifest = state.manifest
            var tensors = Checksum()
            for tensor in gguf.tensors {
                let value = state.sourceChecksums[tensor.name]?.value ?? 0
                tensors.add(value.littleEndianBytes[...])
            }
            manifest.source.digest = Packer.digest(
                header: headerChecksum, tensors: tensors.value)
            let turned = Set(plan.neurons.map(\.down.name))
            let list = Self.requantizations(of: gguf, state.conversions, turned: turned)
            if !list.isEmpty { manifest.requantizations = list }
            manifest.conversions = list.map { PackingPlan.oneLine($0.sentence) }
            return manifest
        }
    }

    /// Sums in the source's order, whatever order threads came in: equal imports, equal bytes.
    private static func requantizations(
        of gguf: GGUFFile, _ pieces: [String: [ConversionPiece]], turned: Set<String>
    ) -> [PackedRequantization] {
        var sums: [String: ConversionError] = [:]
        var list: [PackedRequantization] = []
        for tensor in gguf.tensors {
            guard let pieces = pieces[tensor.name] else { continue }
            var own = ConversionError()
            for piece in pieces.sorted(by: { $0.byteOffset < $1.byteOffset }) {
                own.add(piece.error)
            }
            // Of matrices that are stored by their columns only 8-bit ones change.
            let isTurned = turned.contains(tensor.name)
            let format = isTurned ? .q8_0 : StoredTensor(tensor).format
            let place = list.firstIndex {
                $0.type == tensor.type.name && $0.format == format
                    && ($0.isTransposed ?? false) == isTurned
            }
            let name = PackingPlan.oneLine(tensor.name)
            let index = place ?? list.count
            if place == nil {
                list.append(
                    PackedRequantization(
                        type: tensor.type.name, format: format, tensorCount: 0,
                        relativeError: 0, relativeErrorMax: -1, worstTensor: name,
                        isTransposed: isTurned ? true : nil))
            }
            let key = "\(tensor.type.name) \(format.rawValue) \(isTurned)"
            sums[key, default: ConversionError()].add(own)
            list[index].tensorCount += 1
            list[index].relativeError = rounded(sums[key]?.relative ?? 0)
            if rounded(own.relative) > list[index].relativeErrorMax {
                list[index].relativeErrorMax = rounded(own.relative)
                list[index].worstTensor = name
            }
        }
        return list
    }

    /// To a millionth, and at least that: 0 means that nothing was lost.
    private static func rounded(_ ratio: Double) -> Double {
        guard ratio.isFinite, ratio > 0 else { return 0 }
        return max(1, (ratio * 1e6).rounded()) / 1e6
    }
}

extension ConversionError {
    mutating func add(_ other: ConversionError) {
        error += other.error
        norm += other.norm
    }
}

extension UInt32 {
    /// Four bytes in the file's order.
    var littleEndianBytes: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
    }
}
