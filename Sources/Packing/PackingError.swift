// What can go wrong with an import, told apart by whose fault it is: the command maps each to its
// exit status.

package import LinuxSystem
package import ModelFormat
package import Tokenization

/// Why an import failed. Nothing is left under the destination's name.
package indirect enum PackingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The source is not a model that can be packed (exit status 65).
    case format(FormatError)
    /// No tokenizer can be made from what the file holds, so no command could load it (65).
    case tokenizer(file: String, TokenizerError)
    /// The source cannot be opened or read (66 when it does not exist, 77 when not permitted).
    case source(SystemError)
    /// The destination cannot be written: full, read-only, not permitted (73, 74, 77).
    case destination(SystemError)
    /// The destination exists and was not to be replaced (73).
    case exists(String)
    /// The model's name cannot be a file's name (64).
    case name(String)
    /// One part of a split model came through a pipe, which brings no other (64).
    case pipedPart(name: String, count: Int)
    /// The source cannot be consumed, or not to its end (65).
    case unconsumable(String, String)
    /// An import ended that has consumed some of its source: as `cause`.
    case unfinished(PackingError)
    /// An import ended of which what has arrived is kept: as `cause`.
    case paused(PackingError, name: String)
    /// What was to be fetched could not be, or is not what was promised.
    case transfer(address: String, reason: String, ExitStatus)
    /// The source's size changed while it was read (65).
    case sourceChanged(String)
    /// The caller asked to stop (130).
    case cancelled

    package var description: String {
        switch self {
        case .format(let error): error.description
        case .tokenizer(let file, let error): "\(file): \(error)"
        case .source(let error), .destination(let error): error.description
        case .exists(let path): "\(path) exists; --force replaces it"
        case .name(let reason): reason
        case .pipedPart(let name, let count):
            "\(name): one part of \(count), and a pipe brings no other; import the first part's "
                + "file, or pull it"
        case .unconsumable(let path, let reason): "\(path): \(reason)"
        case .unfinished(let cause):
            "\(cause); part of the source is consumed: the same command goes on"
        case .paused(let cause, let name):
            "\(cause); what has come is kept: the same command goes on, "
                + "'sluice rm \(name)' drops it"
        case .transfer(let address, let reason, _): "\(address): \(reason)"
        case .sourceChanged(let path): "\(path): its size changed while it was imported"
        case .cancelled: "stopped"
        }
    }
}

/// The packed file at `path`, to make another of it.
func openedSource(_ path: String) throws(PackingError) -> FileByteSource {
    do throws(SystemError) {
        return try FileByteSource(path: path, name: path)
    } catch {
        throw .source(error)
    }
}

/// Runs `body`, whose failure is the source's.
func fromSource<Result: ~Copyable>(
    _ body: () throws(FormatError) -> Result
) throws(PackingError) -> Result {
    do { return try body() } catch { throw .format(error) }
}

/// Runs `body`, whose failure is the destination's.
func fromDestination<Result: ~Copyable>(
    _ body: () throws(SystemError) -> Result
) throws(PackingError) -> Result {
    do { return try body() } catch { throw .destination(error) }
}

extension PartialFile {
    /// Writes bytes anywhere; a failure is the destination's.
    func put(_ bytes: [UInt8], at offset: UInt64) throws(PackingError) {
        do throws(SystemError) {
            try unsafe write(bytes.span.bytes, at: offset)
        } catch {
            throw .destination(error)
        }
    }
}
