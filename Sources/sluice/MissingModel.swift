// There are two libraries, the user's and the service's. Commands that run in this process look in
// one: --library, else $SLUICE_LIBRARY, else the user's. A name that only the other has is said.

internal import ArgumentParser
internal import Client
internal import GenerationAPI
internal import Library

extension LibraryOptions {
    /// What `body` returns; a complaint about a missing model says where there is one.
    func explaining<Result>(_ body: (ModelLibrary) throws -> Result) throws -> Result {
        do {
            return try body(value)
        } catch LibraryError.notFound(let name, let directory) {
            throw LibraryError.notFoundHere(
                name: name, directory: directory, hint: Self.hint(name, directory))
        }
    }

    private static func hint(_ name: String, _ directory: String) -> String {
        let service = ModelLibrary(directory: Places.serviceLibrary)
        if directory != service.directory, (try? service.find(name)) != nil {
            return "the service has it: --library \(service.directory)"
        }
        if let daemon = try? DaemonOptions.parse([]).connect(),
            let models = try? daemon.models(), models.contains(where: { $0.name == name })
        {
            return "the daemon at \(daemon.path) has it: 'sluice run' asks the daemon, and "
                + "--library names another library"
        }
        do {
            return GenerationError.listed(try ModelLibrary(directory: directory).list().map(\.name))
        } catch {
            return "\(error)"
        }
    }
}
