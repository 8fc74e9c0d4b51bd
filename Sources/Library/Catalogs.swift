// Models as an engine finds them: a library, or one file.

package import GenerationAPI
internal import LinuxSystem

/// The library as the engine sees it.
package struct LibraryCatalog: ModelCatalog {
    private let library: ModelLibrary
    private let defaultModel: String?

    /// - Parameter defaultModel: for orders that name none; nil is the library's only model.
    package init(library: ModelLibrary, defaultModel: String?) {
        self.library = library
        self.defaultModel = defaultModel
    }

    package func models() throws(GenerationError) -> [ModelSummary] {
        try entries().map {
            ModelSummary(
                name: $0.name, fileBytes: $0.bytes, modified: $0.modified, isLoaded: false)
        }
    }

    package func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String) {
        let wanted = name ?? defaultModel
        if let wanted, let entry = try? library.find(wanted) { return (entry.name, entry.path) }
        let entries = try entries()
        guard wanted == nil, entries.count == 1 else {
            throw .unknownModel(wanted, among: entries.map(\.name))
        }
        return (entries[0].name, entries[0].path)
    }

    private func entries() throws(GenerationError) -> [LibraryEntry] {
        do {
            return try library.list()
        } catch {
            // Where it is, the log has said at the start.
            var reason = "\(error)"
            if case .system(let error) = error {
                reason = "\(SystemError(error.call, errorNumber: error.errorNumber))"
            }
            throw GenerationError(.internalError, "the library cannot be read: \(reason)")
        }
    }
}

/// One packed file as an engine's only model.
package struct FileCatalog: ModelCatalog {
    private let path: String

    package init(path: String) { self.path = path }

    package func models() throws(GenerationError) -> [ModelSummary] { [] }

    /// The file, whatever name is asked for.
    package func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String) {
        (path, path)
    }
}
