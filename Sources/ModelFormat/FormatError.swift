package import LinuxSystem

/// What is wrong with a model file, and where. Always one line; shown to users as it is (exit
/// status 65).
package struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
    package let file: String
    /// Byte offset in the file, where one is known.
    package let offset: UInt64?
    package let expected: String
    package let found: String

    package init(file: String, offset: UInt64? = nil, expected: String, found: String) {
        self.file = file
        self.offset = offset
        self.expected = expected
        self.found = found
    }

    package var description: String {
        let place = offset.map { "\(file) at byte \($0)" } ?? file
        return "\(place): expected \(expected), found \(found)"
    }
}

extension FormatError: EndingError {
    package var exitStatus: ExitStatus { .badData }
}
