// `sluice import` without the terminal: from a path to a model in a library. Owns names and what a
// failed read was; the packer owns the file.

internal import LinuxSystem
package import ModelFormat

/// One import into a library directory.
package struct ImportJob: Sendable {
    /// The GGUF file, the first one where there are several parts.
    package let sourcePath: String
    package let libraryDirectory: String
    /// The model's name in the library: its file's name without `.sluice`.
    package let name: String
    package let overwrite: Bool
    package let activation: Activation?
    package let neurons: NeuronPacking?

    /// - Parameter name: nil takes the source's file name.
    /// - Throws: `PackingError.name` for names that cannot be a file's or would hide it.
    package init(
        sourcePath: String, libraryDirectory: String, name: String? = nil,
        overwrite: Bool = false, activation: Activation? = nil, neurons: NeuronPacking? = nil
    ) throws(PackingError) {
        self.sourcePath = sourcePath
        self.libraryDirectory = libraryDirectory
        self.name = try Self.checked(name ?? Self.defaultName(sourcePath))
        self.overwrite = overwrite
        self.activation = activation
        self.neurons = neurons
    }

    /// Where the packed file goes.
    package var destination: String { "\(libraryDirectory)/\(name).sluice" }

    /// What an import made.
    package struct Result: Sendable, Equatable {
        package let path: String
        package let modelName: String
        package let sourceBytes: UInt64
        package let packedBytes: UInt64
        /// What was stored in another format than the source's, one entry for each such pair.
        package let requantizations: [PackedRequantization]
        /// Why the model cannot chat, though it completes text; nil where it can.
        package let chatNotice: String?
        package let leftOut: LeftOut?
        /// What of the source's directory was read otherwise than it says, a few words each.
        package let repairs: [String]
    }

    /// Imports the model. Creates the library directory where needed and removes what killed
    /// imports left in it.
    ///
    /// - Parameter processID: the caller's; marks the temporary file.
    /// - Throws: `PackingError`; nothing is left under ``destination`` then that was not there.
    package func run(
        processID: Int32, observer: PackingObserver = PackingObserver()
    ) throws(PackingError) -> Result {
        // Told before a long read; asked again when the file gets its name.
        guard overwrite || !FileSystem.exists(destination) else { throw .exists(destination) }
        var sources: [FileByteSource] = []
        do {
            try open(&sources)
            let packer = try Packer(parts: sources, activation: activation, neurons: neurons)
            try prepareLibrary()
            let written = try packer.write(
                to: destination, overwrite: overwrite, processID: processID, observer: observer
            ) { () throws(PackingError) in
                try Self.checkSizes(sources, directory: FileSystem.parent(of: sourcePath))
            }
            return Result(
                path: destination, modelName: packer.modelName,
                sourceBytes: sources.reduce(0) { $0 + $1.byteCount },
                packedBytes: written.byteCount, requantizations: written.requantizations,
                chatNotice: packer.chatNotice, leftOut: packer.leftOut, repairs: packer.repairs)
        } catch {
            // A byte source can only say in words that a system call failed.
            for source in sources {
                if case .format = error, let failure = source.systemError {
                    throw .source(failure)
                }
            }
            throw error
        }
    }

    /// Makes the library's directory, and removes what killed imports left in it.
    func prepareLibrary() throws(PackingError) {
        try fromDestination { () throws(SystemError) in
            try FileSystem.createDirectory(libraryDirectory)
            try PartialFile.removeStale(in: libraryDirectory)
        }
    }

    /// - Parameter firstBytes: what the parts begin with, whatever is there.
    func open(
        _ sources: inout [FileByteSource], firstBytes: [UInt8] = []
    ) throws(PackingError) {
        let directory = FileSystem.parent(of: sourcePath)
        func open(_ path: String) throws(PackingError) -> FileByteSource {
            do {
                return try FileByteSource(path: path, streaming: true, firstBytes: firstBytes)
            } catch {
                throw .source(error)
            }
        }
        let first = try open(sourcePath)
        sources.append(first)
        let names = try fromSource { () throws(FormatError) in
            try GGUFFile.partNames(of: first)
        }
        for name in names { sources.append(try open("\(directory)/\(name)")) }
    }

    static func checkSizes(
        _ sources: [FileByteSource], directory: String
    ) throws(PackingError) {
        for source in sources {
            let changed: Bool
            do { changed = try source.hasChangedSize() } catch { throw .source(error) }
            if changed { throw .sourceChanged("\(directory)/\(source.name)") }
        }
    }

    /// The source's file name without its extension and part number; characters that a model's name
    /// cannot have become dashes.
    package static func defaultName(_ path: String) -> String {
        var name = FileSystem.name(of: path)[...]
        if name.lowercased().hasSuffix(".gguf") { name = name.dropLast(5) }
        // Written before the part's number, too: `X.gguf-00001-of-00002.gguf`.
        let pieces = name.split(separator: "-", omittingEmptySubsequences: false)
        if pieces.count > 3, pieces[pieces.count - 2] == "of",
            [pieces[pieces.count - 1], pieces[pieces.count - 3]].allSatisfy({
                $0.count == 5 && $0.utf8.allSatisfy { (48...57).contains($0) }
            })
        {
            name = name.dropLast("-00001-of-00001".count)
            if name.lowercased().hasSuffix(".gguf") { name = name.dropLast(5) }
        }
        let tame = name.unicodeScalars.map { ModelName.isValid($0) ? Character($0) : "-" }
        let start = tame.firstIndex { $0 != "." && $0 != "-" } ?? tame.endIndex
        return String(tame[start...].prefix(ModelName.bytesMax))
    }

    private static func checked(_ name: String) throws(PackingError) -> String {
        // `helper:latest` is how other programs write `helper`, here as everywhere.
        let name = [".sluice", ":latest"].reduce(name) { name, ending in
            name.hasSuffix(ending) ? String(name.dropLast(ending.count)) : name
        }
        guard ModelName.isValid(name) else {
            throw .name("a model's name is \(ModelName.rule); --name gives another")
        }
        return name
    }
}
