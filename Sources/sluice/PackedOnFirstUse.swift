// A GGUF file where a packed one is needed: packed into the library once, found there afterwards.

internal import Library
internal import LinuxSystem
internal import ModelFormat
internal import Packing

struct PackedOnFirstUse {
    let source: String
    let library: ModelLibrary
    let keys: ModelKeySource

    /// The packed file of ``source``; packs it, saying so on standard error, unless the library has
    /// it.
    ///
    /// - Throws: `PackingError`, also when the library has another model of that name.
    func path() throws -> String {
        let job = try ImportJob(sourcePath: source, libraryDirectory: library.directory)
        guard FileSystem.exists(job.destination) else {
            try ImportCommand.run(job)
            return job.destination
        }
        let packed = try PackedModel(
            source: FileByteSource(path: job.destination, name: job.destination), keys: keys)
        guard packed.manifest.source.fileName == FileSystem.name(of: source) else {
            throw PackingError.exists(job.destination)
        }
        if try isCurrent(packed, job.destination) { return job.destination }
        try ImportCommand.run(
            ImportJob(
                sourcePath: source, libraryDirectory: library.directory, overwrite: true))
        return job.destination
    }

    /// Whether the packed file was made from the source as it is now: same size, not older.
    private func isCurrent(_ packed: PackedModel, _ path: String) throws -> Bool {
        let file = try FileByteSource(path: source)
        let parts = try GGUFFile.partNames(of: file)
        let folder = FileSystem.parent(of: source)
        var bytes = file.byteCount
        for name in parts { bytes += try FileByteSource(path: "\(folder)/\(name)").byteCount }
        let isOlder =
            try FileSystem.modifiedNanoseconds(path) < FileSystem.modifiedNanoseconds(source)
        return packed.manifest.source.byteCount == bytes && !isOlder
    }
}
