// Which names a model in a library can have: file names without `.sluice` that are the same in
// paths, URLs and shells, and that never lead out of the directory or hide the file.

/// The one rule for models' names, for those who make files and those who look them up.
package enum ModelName {
    /// Longest name in bytes: a file name holds 255, and a temporary file's suffix needs room.
    package static let bytesMax = 200

    /// The rule in words, for messages.
    package static let rule =
        "1 to \(bytesMax) letters, digits, '.', '_', '-', '+', ':' and '@', not beginning with '.' "
        + "or '-'"

    /// Whether `name` may be a model's.
    package static func isValid(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= bytesMax,
            first != UInt8(ascii: "."), first != UInt8(ascii: "-")
        else { return false }
        return name.unicodeScalars.allSatisfy(isValid)
    }

    /// Whether `scalar` may be part of a name.
    package static func isValid(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-", "+", ":", "@": true
        default: false
        }
    }
}
