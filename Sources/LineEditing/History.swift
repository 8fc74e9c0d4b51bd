// Lines that were typed before, newest last, and as the bytes of a file: a line each, in which `\`
// and newlines are escaped.

package struct History: Sendable {
    package static let entriesMax = 1000
    /// Bytes of all entries together.
    package static let bytesMax = 1 << 20

    package private(set) var entries: [String] = []
    private var byteCount = 0

    package init() {}

    /// Reads what ``file`` wrote.
    package init(file bytes: [UInt8]) {
        for line in bytes.split(separator: 0x0A) {
            add(Self.unescaped(String(decoding: line, as: UTF8.self)))
        }
    }

    /// The entries as a file holds them.
    package var file: [UInt8] {
        entries.flatMap { Array(Self.escaped($0).utf8) + [0x0A] }
    }

    /// Adds an entry. Not twice the same in a row, and none that begins with a space; the oldest
    /// leave when there are too many.
    package mutating func add(_ entry: String) {
        guard !entry.isEmpty, !entry.hasPrefix(" "), entry != entries.last,
            entry.utf8.count <= Self.bytesMax
        else { return }
        entries.append(entry)
        byteCount += entry.utf8.count
        while entries.count > Self.entriesMax || byteCount > Self.bytesMax {
            byteCount -= entries.removeFirst().utf8.count
        }
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
    }

    private static func unescaped(_ text: String) -> String {
        var (result, isEscape) = ("", false)
        for character in text {
            if isEscape {
                result.append(character == "n" ? "\n" : character)
                isEscape = false
            } else if character == "\\" {
                isEscape = true
            } else {
                result.append(character)
            }
        }
        return result
    }
}
