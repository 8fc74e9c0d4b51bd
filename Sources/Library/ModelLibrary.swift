// A directory of packed models. Names are file names without `.sluice`, so a name can never lead
// out of the directory.

internal import GenerationAPI
package import LinuxSystem
internal import ModelFormat
internal import SequenceState
internal import Weights

/// One packed model in the library.
package struct LibraryEntry: Sendable, Equatable {
    package var name: String
    package var path: String
    package var bytes: UInt64
    /// Seconds since 1970.
    package var modified: Int64
}

/// Why a name means no model.
package enum LibraryError: Error, Equatable, Sendable, CustomStringConvertible {
    case invalidName(String)
    case notFound(name: String, directory: String)
    /// As `notFound`; `hint` says where there is one, or what there is.
    case notFoundHere(name: String, directory: String, hint: String)
    /// No model was named, and there is none.
    case empty(directory: String)
    case system(SystemError)

    package var description: String {
        switch self {
        case .invalidName(let name):
            "'\(name)' cannot be a model's name: \(ModelName.rule)"
        case .notFound(let name, let directory): "no model '\(name)' in \(directory)"
        case .notFoundHere(let name, let directory, let hint):
            "no model '\(name)' in \(directory); \(hint)"
        case .empty(let directory):
            "no model in \(directory): import one first, or name one"
        case .system(let error): error.description
        }
    }
}

/// The library. Every call looks at the directory anew: files come and go.
package struct ModelLibrary: Sendable, Equatable {
    package static let suffix = ".sluice"

    package let directory: String

    package init(directory: String) { self.directory = directory }

    /// Where the model `name` is kept, whether or not it exists.
    package func path(of name: String) throws(LibraryError) -> String {
        guard ModelName.isValid(name) else { throw .invalidName(name) }
        return "\(directory)/\(name)\(Self.suffix)"
    }

    /// Every model, by name. A library whose directory does not exist is empty.
    package func list() throws(LibraryError) -> [LibraryEntry] {
        let files: [String]
        do throws(SystemError) {
            files = try FileSystem.names(in: directory)
        } catch {
            if error.isMissing { return [] }
            throw .system(error)
        }
        return files.compactMap { file in
            guard file.hasSuffix(Self.suffix) else { return nil }
            return entry(String(file.dropLast(Self.suffix.count)))
        }.sorted { $0.name < $1.name }
    }

    private func entry(_ name: String) -> LibraryEntry? {
        guard let path = try? path(of: name), let status = try? SystemCalls.status(path),
            status.kind == .regular
        else { return nil }
        return LibraryEntry(
            name: name, path: path, bytes: status.bytes, modified: status.modified)
    }

    /// The model called `name`, or what that stands for.
    package func find(_ name: String) throws(LibraryError) -> LibraryEntry {
        _ = try path(of: name)
        for candidate in ModelSummary.names(for: name) {
            if let entry = entry(candidate) { return entry }
        }
        throw .notFound(name: name, directory: directory)
    }

    /// The file that `model` means: a path when it has a slash or ends in `.sluice` or `.gguf`,
    /// else a name, or, where the library has no such model, a file of the working directory. For
    /// commands only: what a request names is always a name.
    package func resolve(_ model: String) throws(LibraryError) -> String {
        let lowercased = model.lowercased()
        if model.contains("/") || [Self.suffix, ".gguf"].contains(where: lowercased.hasSuffix) {
            return model
        }
        do {
            return try find(model).path
        } catch {
            if (try? SystemCalls.status(model))?.kind == .regular { return model }
            throw error
        }
    }

    /// The largest model's file.
    package func largest() throws(LibraryError) -> String {
        guard let entry = try list().max(by: { $0.bytes < $1.bytes }) else {
            throw .empty(directory: directory)
        }
        return entry.path
    }

    /// Other models' files, largest first, for reading across several.
    package func neighbours(of path: String) -> [String] {
        let others = ((try? list()) ?? []).filter { entry in
            guard let own = try? SystemCalls.status(path),
                let other = try? SystemCalls.status(entry.path)
            else { return false }
            return own.device == other.device && own.inode != other.inode
        }
        return others.sorted { ($1.bytes, $0.path) < ($0.bytes, $1.path) }.map(\.path)
    }

    /// Deletes the model called `name`.
    package func remove(_ name: String) throws(LibraryError) {
        let entry = try find(name)
        do throws(SystemError) {
            try FileSystem.remove(entry.path)
            // Few models have any.
            for path in [
                ExpertPopularity.path(of: entry.path), NeuronPredictors.path(of: entry.path),
                FiringThresholds.path(of: entry.path), PrefixCache.path(of: entry.path)
            ] { try? FileSystem.remove(path) }
        } catch {
            throw .system(error)
        }
    }
}

extension LibraryError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .invalidName: .usage
        case .notFound, .notFoundHere, .empty: .noInput
        case .system(let error): ExitStatus(errorNumber: error.errorNumber)
        }
    }
}
