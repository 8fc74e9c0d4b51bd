// What opening files for streaming throws.

package import LinuxSystem
package import ModelFormat

/// Why a file could not be opened for streaming, or a sidecar not be read.
package enum FlashError: Error, Sendable, Equatable, CustomStringConvertible {
    case format(FormatError)
    case system(SystemError)
    case read(ReadFailure)

    package var description: String {
        switch self {
        case .format(let error): "\(error)"
        case .system(let error): "\(error)"
        case .read(let error): "\(error)"
        }
    }
}

extension FlashError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .format(let error): error.exitStatus
        case .system(let error): error.exitStatus
        case .read(let error): error.exitStatus
        }
    }
}
