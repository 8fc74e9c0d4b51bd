// A source that is taken apart while it is packed, so that a drive need not hold both. Owns the
// order that loses nothing: what is packed is durable, then the journal that says so, then the
// source's bytes are freed. Refuses sources whose bytes others still have a claim to.

internal import LinuxSystem
internal import ModelFormat
internal import Synchronization

/// One source under consumption. What is unfinished lies beside the destination:
/// `.NAME.sluice.consuming`, the packed file so far, and `.NAME.sluice.consuming.journal`.
final class Consumption: Sendable {
    /// What is packed between two journals: so much is on the drive twice at most.
    static let pieceBytes = 16 << 20
    private static let mark = Array(GGUFFile.consumedMagic.utf8)

    private final class Part: Sendable {
        let path: String
        let file: FileDescriptor
        let byteCount: UInt64
        /// Freed up to here, once something is.
        let freed = Atomic<UInt64>(0)

        init(_ path: String) throws(SystemError) {
            self.path = path
            file = try FileDescriptor(path: path, mode: .readWrite)
            byteCount = try file.byteCount()
        }
    }

    private let parts: [Part]
    private let pieceBytes: Int
    let partialPath: String
    private let journalPath: String
    /// Whether an earlier import has begun to take the source apart.
    let wasBegun: Bool
    private let hadPartial: Bool
    private let isBegun: Atomic<Bool>

    /// Takes hold of the source's files.
    ///
    /// - Throws: `PackingError.unconsumable` where they are not to be taken apart, `.source` where
    ///   they cannot be written.
    init(
        _ paths: [String], destination: String, pieceBytes: Int = pieceBytes
    ) throws(PackingError) {
        let folder = FileSystem.parent(of: destination)
        partialPath =
            "\(folder)/.\(FileSystem.name(of: destination))\(PartialFile.consuming)"
        journalPath = partialPath + PartialFile.journal
        self.pieceBytes = pieceBytes
        var parts: [Part] = []
        for path in paths { parts.append(try Self.part(path)) }
        do throws(SystemError) {
            try FileSystem.checkFreeing(FileSystem.parent(of: paths[0]))
        } catch {
            throw .unconsumable(paths[0], "its drive cannot free a part of a file (\(error))")
        }
        self.parts = parts
        wasBegun = Self.isMarked(parts[0].file)
        hadPartial = FileSystem.exists(partialPath)
        isBegun = Atomic(wasBegun)
    }

    private static func part(_ path: String) throws(PackingError) -> Part {
        let part: Part
        let status: FileStatus
        let isOurs: Bool
        do throws(SystemError) {
            status = try SystemCalls.status(path)
            part = try Part(path)
            isOurs = try part.file.lockForThisProcess()
        } catch {
            throw .source(error)
        }
        guard status.kind == .regular else {
            throw .unconsumable(path, "it is a link; name the file itself")
        }
        guard status.linkCount == 1 else {
            throw .unconsumable(path, "it has another name, too (a hard link)")
        }
        guard isOurs else { throw .unconsumable(path, "another import is at it") }
        return part
    }

    private static func isMarked(_ file: borrowing FileDescriptor) -> Bool {
        var bytes = [UInt8](repeating: 0, count: mark.count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        return (try? file.read(at: 0, into: &raw)) == mark.count && bytes == mark
    }

    /// Whether some of the source is gone, so that it takes this import to make a model of it.
    var hasBegun: Bool { isBegun.load(ordering: .relaxed) }

    /// Whether an earlier import gave the packed file its name and was ended before it could delete
    /// the source.
    func isFinished(_ destination: String) -> Bool {
        wasBegun && !FileSystem.exists(partialPath) && FileSystem.exists(journalPath)
            && FileSystem.exists(destination)
    }

    /// Another source may have been consumed for an import of this name.
    ///
    /// - Throws: `PackingError.unconsumable` where what was made of it would be lost.
    func checkOwnership(_ fingerprint: UInt64) throws(PackingError) {
        guard !wasBegun, hadPartial, FileSystem.exists(journalPath),
            journal()?.fingerprint != fingerprint
        else { return }
        throw .unconsumable(
            parts[0].path, "\(partialPath) is what was made of another source; finish that first")
    }

    private func journal() -> PackingJournal? {
        (try? SystemCalls.readFile(journalPath, bytesMax: PackingJournal.byteCountMax))
            .flatMap { PackingJournal($0) }
    }

    // MARK: Steps

    /// Gives `run` what an earlier import has found.
    ///
    /// - Returns: how many steps are done; 0 where it begins.
    func resume(_ run: PackingRun, fingerprint: UInt64) throws(PackingError) -> Int {
        guard wasBegun else { return 0 }
        guard hadPartial, let journal = journal(), journal.fingerprint == fingerprint,
            journal.restore(run)
        else { throw .unconsumable(parts[0].path, GGUFFile.consumedAdvice) }
        run.file.keep()
        return journal.stepsDone
    }

    /// Whether so many bytes were packed that some of the source is to be freed.
    func isDue(_ byteCount: Int) -> Bool { byteCount >= pieceBytes }

    /// Frees the source's weights before `offset` of `part`, of which everything is made.
    func free(
        _ run: PackingRun, fingerprint: UInt64, stepsDone: Int, before offset: UInt64, part: Int
    ) throws(PackingError) {
        let journal = try fromSource { () throws(FormatError) in
            try PackingJournal.bytes(of: run, fingerprint: fingerprint, stepsDone: stepsDone)
        }
        try fromDestination { () throws(SystemError) in
            try run.file.synchronize()
            try FileSystem.replace(journalPath, with: journal, permissions: 0o600)
        }
        run.file.keep()
        do throws(SystemError) {
            try markAll()
            for index in 0...part {
                let start = run.gguf.tensors.lazy.filter { $0.part == index }.map(\.offset).min()
                let end = index == part ? offset : parts[index].byteCount
                if let start { try free(parts[index], from: start, to: end) }
            }
        } catch {
            throw .source(error)
        }
    }

    private func free(_ part: Part, from start: UInt64, to end: UInt64) throws(SystemError) {
        let page = UInt64(PackedLayout.alignment)
        let first = max(part.freed.load(ordering: .relaxed), (start + page - 1) / page * page)
        let last = end / page * page
        guard first < last else { return }
        try part.file.free(first..<last)
        part.freed.store(last, ordering: .relaxed)
    }

    /// From now on nobody takes the source for a model.
    private func markAll() throws(SystemError) {
        guard !hasBegun else { return }
        for part in parts {
            try part.file.write(unsafe Self.mark.span.bytes, at: 0)
            try part.file.synchronize()
        }
        isBegun.store(true, ordering: .relaxed)
    }

    /// Deletes the source: its model has its name.
    func finish() throws(PackingError) {
        do throws(SystemError) {
            // The first part last: with it, the same command can still do the rest.
            for part in parts.reversed() where FileSystem.exists(part.path) {
                try FileSystem.remove(part.path)
            }
        } catch {
            throw .source(error)
        }
        try? FileSystem.remove(journalPath)
    }
}
