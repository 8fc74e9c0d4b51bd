// `sluice import --consume`: an import that frees the source's bytes as it packs them, and deletes
// the source at its end. Owns what must be so before a byte is freed.

internal import LinuxSystem
internal import ModelFormat

extension ImportJob {
    /// Room beyond the packed file's: what is on the drive twice, and journals.
    private static let slackBytes: UInt64 = 64 << 20

    /// Imports the model and consumes its source. An import that was ended goes on.
    ///
    /// - Parameter pieceBytes: what is packed before so much of the source is freed.
    /// - Throws: `PackingError`; `.unfinished` once some of the source is gone.
    package func runConsuming(
        observer: PackingObserver = PackingObserver(), pieceBytes: Int? = nil
    ) throws(PackingError) -> Result {
        var sources: [FileByteSource] = []
        try open(&sources, firstBytes: Array("GGUF".utf8))
        let directory = FileSystem.parent(of: sourcePath)
        let paths = [sourcePath] + sources.dropFirst().map { "\(directory)/\($0.name)" }
        let consumption = try Consumption(
            paths, destination: destination, pieceBytes: pieceBytes ?? Consumption.pieceBytes)
        do {
            let packer = try Packer(parts: sources, activation: activation, neurons: neurons)
            let written: PackedResult
            if consumption.isFinished(destination) {
                written = try Self.finished(destination)
            } else {
                written = try pack(packer, sources, consumption, observer)
            }
            try consumption.finish()
            return Result(
                path: destination, modelName: packer.modelName,
                sourceBytes: sources.reduce(0) { $0 + $1.byteCount },
                packedBytes: written.byteCount, requantizations: written.requantizations,
                chatNotice: packer.chatNotice, leftOut: packer.leftOut, repairs: packer.repairs)
        } catch {
            var cause = error
            for source in sources {
                if case .format = error, let failure = source.systemError {
                    cause = .source(failure)
                }
            }
            if case .unconsumable = cause { throw cause }
            throw consumption.hasBegun ? .unfinished(cause) : cause
        }
    }

    private func pack(
        _ packer: Packer, _ sources: [FileByteSource], _ consumption: Consumption,
        _ observer: PackingObserver
    ) throws(PackingError) -> PackedResult {
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        try prepareLibrary()
        try consumption.checkOwnership(try packer.fingerprint())
        if !consumption.wasBegun { try checkRoom(packer, sources) }
        return try packer.write(
            to: destination, overwrite: overwrite, consumption: consumption, observer: observer,
            confirm: { () throws(PackingError) in
                try Self.checkSizes(sources, directory: FileSystem.parent(of: sourcePath))
            }
        ) { () throws(SystemError) in
            let file = try PartialFile(
                resuming: consumption.partialPath, isNew: !consumption.wasBegun)
            if consumption.wasBegun { file.keep() }
            return file
        }
    }

    /// The drive must hold the packed file once the source has gone, if that is where it is.
    private func checkRoom(
        _ packer: Packer, _ sources: [FileByteSource]
    ) throws(PackingError) {
        let needed = try packer.plannedBytes() + Self.slackBytes
        let room = try fromDestination { () throws(SystemError) in
            let source = try FileIdentity(path: sourcePath).device
            let isShared = try FileIdentity(path: libraryDirectory).device == source
            return try FileSystem.freeBytes(libraryDirectory)
                + (isShared ? sources.reduce(0) { $0 + $1.byteCount } : 0)
        }
        guard room >= needed else {
            throw .unconsumable(
                sourcePath,
                "\(needed >> 20) MiB are needed in \(libraryDirectory), and with the source gone "
                    + "there are \(room >> 20)")
        }
    }

    /// What an import made that could not delete its source any more.
    private static func finished(_ destination: String) throws(PackingError) -> PackedResult {
        let source: FileByteSource
        do throws(SystemError) {
            source = try FileByteSource(path: destination)
        } catch {
            throw .destination(error)
        }
        let manifest = try fromSource { () throws(FormatError) in
            try PackedModel(source: source).manifest
        }
        return PackedResult(
            byteCount: source.byteCount, requantizations: manifest.requantizations ?? [])
    }
}
