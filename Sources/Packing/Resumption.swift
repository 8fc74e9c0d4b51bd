// An import whose source can be asked again for any part of it: the packed file so far, and beside
// it a record of how far it is, so that the same import later goes on there. Owns both files, and
// which records are believed.

internal import LinuxSystem
internal import ModelFormat
internal import Synchronization

/// The record: a journal of what is packed, and where each part of the source is.
struct ArrivalRecord {
    private static let magic = Array("SLUICEA1".utf8)
    static let byteCountMax = PackingJournal.byteCountMax + (1 << 20)

    /// Which Sluice has packed so far: others may arrange things otherwise.
    var program: [UInt8]
    var journal: [UInt8]
    /// The part that is arriving, and which of its bytes is next; of earlier ones all has arrived.
    var part: Int
    var place: UInt64
    var marks: [StreamMark]

    init(program: String, journal: [UInt8], part: Int, place: UInt64, marks: [StreamMark]) {
        self.program = Array(program.utf8)
        self.journal = journal
        self.part = part
        self.place = place
        self.marks = marks
    }

    /// Reads a record; nil for bytes that are none, or not whole.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= Self.magic.count + 4, bytes.starts(with: Self.magic) else {
            return nil
        }
        let end = bytes.count - 4
        var tail = JournalReader(bytes: bytes[end...])
        guard tail.word() == Checksum.of(bytes[..<end]) else { return nil }
        var reader = JournalReader(bytes: bytes[Self.magic.count..<end])
        guard let program = reader.list(), let journal = reader.list(), let part = reader.long(),
            let place = reader.long(),
            let count = reader.long(), count <= UInt64(reader.bytes.count)
        else { return nil }
        var marks: [StreamMark] = []
        for _ in 0..<count {
            guard let identity = reader.list(), let state = reader.list() else { return nil }
            marks.append(StreamMark(identity: identity, state: state))
        }
        guard let index = Int(exactly: part), index < marks.count, reader.bytes.isEmpty else {
            return nil
        }
        self.init(
            program: String(decoding: program, as: UTF8.self), journal: journal, part: index,
            place: place, marks: marks)
    }

    var bytes: [UInt8] {
        var writer = JournalWriter(bytes: Self.magic)
        writer.add(list: program)
        writer.add(list: journal)
        writer.add(UInt64(part))
        writer.add(place)
        writer.add(UInt64(marks.count))
        for mark in marks {
            writer.add(list: mark.identity)
            writer.add(list: mark.state)
        }
        return writer.bytes + Checksum.of(writer.bytes[...]).littleEndianBytes
    }
}

/// `.NAME.sluice.arriving` and `.NAME.sluice.arriving.journal` beside the destination.
final class Resumption: Sendable {
    private static let pieceBytesRange = UInt64(1 << 20)...UInt64(64 << 20)
    /// Records of one import, about.
    private static let recordsPerImport: UInt64 = 64

    private struct State {
        /// What an earlier import left, once it is found to be of the same source.
        var found: (journal: PackingJournal, record: ArrivalRecord)?
        /// Whether there is a record of this import.
        var hasRecord = false
        /// Whether another process has the file.
        var isOff = false
    }

    let partialPath: String
    private let recordPath: String
    private let program: String
    private let pieceBytes: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - program: goes on only with what it began itself.
    ///   - pieceBytes: of the source, arrive between two records; nil is as its size wants.
    init(destination: String, sourceBytes: UInt64, program: String, pieceBytes: Int? = nil) {
        self.program = program
        partialPath = Self.partialPath(destination)
        recordPath = partialPath + PartialFile.journal
        let range = Self.pieceBytesRange
        let usual = max(sourceBytes / Self.recordsPerImport, range.lowerBound)
        self.pieceBytes = pieceBytes ?? Int(min(usual, range.upperBound))
    }

    private static func partialPath(_ destination: String) -> String {
        let folder = FileSystem.parent(of: destination)
        return "\(folder)/.\(FileSystem.name(of: destination))\(PartialFile.arriving)"
    }

    /// Looks for what an earlier import of the same source left.
    func find(fingerprint: UInt64, _ sources: [SequentialSource]) {
        let identities = sources.map { $0.mark?.identity }
        guard FileSystem.exists(partialPath),
            let bytes = try? SystemCalls.readFile(
                recordPath, bytesMax: ArrivalRecord.byteCountMax),
            let record = ArrivalRecord(bytes), record.program == Array(program.utf8),
            let journal = PackingJournal(record.journal),
            journal.fingerprint == fingerprint, record.marks.map(\.identity) == identities
        else { return }
        state.withLock { $0.found = (journal, record) }
    }

    /// The file to write: what was found, or a new one with room for `byteCount`.
    ///
    /// - Returns: nil where another process writes it.
    func open(byteCount: UInt64) throws(SystemError) -> PartialFile? {
        let goesOn = state.withLock { $0.found != nil }
        // A record of another beginning must not outlive that.
        if !goesOn, FileSystem.exists(recordPath) { try FileSystem.remove(recordPath) }
        do throws(SystemError) {
            let file = try PartialFile(
                resuming: partialPath, isNew: !goesOn, reserving: byteCount)
            if goesOn {
                file.keep()
                state.withLock { $0.hasRecord = true }
            }
            return file
        } catch {
            guard error.errorNumber == SystemError.busy else { throw error }
            state.withLock { $0 = State(isOff: true) }
            return nil
        }
    }

    /// Gives `run` what was found, and has the parts go on.
    ///
    /// - Returns: how many steps are done; 0 where it begins.
    func resume(_ run: PackingRun, _ sources: [SequentialSource]) throws(PackingError) -> Int {
        guard let (journal, record) = state.withLock({ $0.found }) else { return 0 }
        guard journal.restore(run) else { throw Self.notWhole(recordPath) }
        for (index, source) in sources.enumerated() where index <= record.part {
            let place = index < record.part ? source.byteCount : record.place
            guard source.goOn(from: record.marks[index].state, at: place) else {
                throw Self.notWhole(recordPath)
            }
        }
        return journal.stepsDone
    }

    private static func notWhole(_ path: String) -> PackingError {
        .format(FormatError(file: path, expected: "how far the model is", found: "other bytes"))
    }

    /// Whether so much has arrived that it is to be recorded.
    func isDue(_ byteCount: Int) -> Bool {
        byteCount >= pieceBytes && !state.withLock { $0.isOff }
    }

    /// Makes what is packed durable, and records it.
    func save(
        _ run: PackingRun, fingerprint: UInt64, stepsDone: Int, _ sources: [SequentialSource],
        part: Int, place: UInt64
    ) throws(PackingError) {
        let marks = sources.compactMap(\.mark)
        guard marks.count == sources.count else { return }
        let journal = try fromSource { () throws(FormatError) in
            try PackingJournal.bytes(of: run, fingerprint: fingerprint, stepsDone: stepsDone)
        }
        let record = ArrivalRecord(
            program: program, journal: journal, part: part, place: place, marks: marks)
        try fromDestination { () throws(SystemError) in
            try run.file.synchronize()
            try FileSystem.replace(recordPath, with: record.bytes, permissions: 0o600)
        }
        run.file.keep()
        state.withLock { $0.hasRecord = true }
    }

    /// The model has its name.
    func finish() {
        guard !state.withLock({ $0.isOff }) else { return }
        if FileSystem.exists(recordPath) { try? FileSystem.remove(recordPath) }
    }

    /// What becomes of both files where the import failed.
    ///
    /// - Returns: the error to tell.
    func end(after error: PackingError, name: String) -> PackingError {
        guard state.withLock({ $0.hasRecord }) else { return error }
        guard error.mayBeGoneOnFrom else {
            for path in [recordPath, partialPath] where FileSystem.exists(path) {
                try? FileSystem.remove(path)
            }
            return error
        }
        return .paused(error, name: name)
    }

    /// Removes what unfinished imports to `destination` left, unless one is under way.
    ///
    /// - Returns: whether there was anything.
    static func discard(_ destination: String) -> Bool {
        let path = partialPath(destination)
        guard FileSystem.exists(path), let file = try? FileDescriptor(path: path, mode: .readWrite),
            (try? file.lockForThisProcess(patienceMilliseconds: 0)) == true
        else { return false }
        for path in [path + PartialFile.journal, path] where FileSystem.exists(path) {
            try? FileSystem.remove(path)
        }
        return true
    }
}

extension PackingError {
    /// Whether the same import may do better, and what has arrived is still right.
    fileprivate var mayBeGoneOnFrom: Bool {
        switch self {
        case .cancelled, .destination, .source: true
        case .transfer(_, _, let status): [.unavailable, .notPermitted].contains(status)
        default: false
        }
    }
}

extension ImportJob {
    /// Removes what an unfinished import of the model left.
    ///
    /// - Returns: whether there was anything.
    package static func discardUnfinished(_ name: String, in directory: String) -> Bool {
        guard ModelName.isValid(name) else { return false }
        return Resumption.discard("\(directory)/\(name).sluice")
    }
}
