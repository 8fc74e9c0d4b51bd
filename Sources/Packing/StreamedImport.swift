// An import of what arrives front to back. Owns what a stream can be asked for that a file can, and
// how its failures are told.

internal import LinuxSystem
internal import ModelFormat

/// Opens the parts of a model by their names; the first is open already.
package typealias PartOpener = (String) throws(PackingError) -> any ByteStream

extension ImportJob {
    /// Packs a model while its bytes arrive. As ``run(processID:observer:)`` otherwise.
    ///
    /// - Parameters:
    ///   - first: the model, or its first part.
    ///   - openPart: nil where there can be no others.
    ///   - program: which Sluice this is: only the same one goes on with what it began.
    ///   - pieceBytes: between two records of how far it is; nil is as the model's size wants.
    ///   - confirm: called when all has arrived and nothing has its name yet.
    package func run(
        _ first: any ByteStream, openPart: PartOpener?, processID: Int32,
        observer: PackingObserver = PackingObserver(), program: String = "",
        pieceBytes: Int? = nil,
        confirm: () throws(PackingError) -> Void = { () throws(PackingError) in }
    ) throws(PackingError) -> Result {
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        try first.open()
        var sources = [SequentialSource(first)]
        var resumption: Resumption?
        do {
            try open(&sources, openPart)
            let packer = try Packer(
                parts: sources, activation: activation, neurons: neurons,
                sourceName: FileSystem.name(of: sourcePath))
            try prepareLibrary()
            let written: PackedResult
            if sources.allSatisfy({ $0.mark != nil }) {
                let unfinished = Resumption(
                    destination: destination,
                    sourceBytes: sources.reduce(0) { $0 + $1.byteCount }, program: program,
                    pieceBytes: pieceBytes)
                resumption = unfinished
                written = try packer.write(
                    to: destination, overwrite: overwrite, processID: processID,
                    resumption: unfinished, observer: observer, confirm: confirm)
            } else {
                written = try packer.write(
                    to: destination, overwrite: overwrite, processID: processID,
                    observer: observer, confirm: confirm)
            }
            return Result(
                path: destination, modelName: packer.modelName,
                sourceBytes: sources.reduce(0) { $0 + $1.byteCount },
                packedBytes: written.byteCount, requantizations: written.requantizations,
                chatNotice: packer.chatNotice, leftOut: packer.leftOut, repairs: packer.repairs)
        } catch {
            let cause = Self.cause(of: error, sources)
            throw resumption?.end(after: cause, name: name) ?? cause
        }
    }

    /// What was wrong with a stream, which a parser can only say in words.
    private static func cause(
        of error: PackingError, _ sources: [SequentialSource]
    ) -> PackingError {
        guard case .format(let format) = error else { return error }
        for source in sources {
            if let failure = source.failure { return failure }
            if let end = source.wantedMore(than: format) { return .format(end) }
        }
        return error
    }

    /// The other parts' headers, which say where everything goes, are needed before the first
    /// part's weights.
    private func open(
        _ sources: inout [SequentialSource], _ openPart: PartOpener?
    ) throws(PackingError) {
        let first = sources[0]
        guard let openPart else {
            let count = try fromSource { () throws(FormatError) in
                try GGUFFile.partCount(of: first)
            }
            guard count == 1 else { throw .pipedPart(name: first.name, count: count) }
            return
        }
        let names = try fromSource { () throws(FormatError) in
            try GGUFFile.partNames(of: first)
        }
        for name in names {
            let stream = try openPart(name)
            try stream.open()
            let source = SequentialSource(stream)
            sources.append(source)
            _ = try fromSource { () throws(FormatError) in try GGUFFile.partCount(of: source) }
            source.pause()
        }
    }
}

extension SequentialSource {
    /// What a parser's complaint is where it only read on beyond the end.
    fileprivate func wantedMore(than error: FormatError) -> FormatError? {
        let fieldBytes: UInt64 = 8
        guard hasEnded, error.file == name, let offset = error.offset,
            offset + fieldBytes > byteCount
        else { return nil }
        return FormatError(
            file: name, offset: offset, expected: "more of a GGUF file",
            found: "end of file at \(byteCount)")
    }
}
