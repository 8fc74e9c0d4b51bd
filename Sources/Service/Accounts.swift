// Users and groups by name, from passwd(5) and group(5). Asking the C library would load whatever
// nsswitch.conf(5) names into the daemon, for as long as it runs.

internal import LinuxSystem

/// What the two files say, read when first asked for.
package struct Accounts {
    private static let fileBytesMax = 4 << 20

    private let files: (users: String, groups: String)
    private var numbers: (users: [Substring: UInt32]?, groups: [Substring: UInt32]?)

    package init(users: String = "/etc/passwd", groups: String = "/etc/group") {
        files = (users, groups)
    }

    /// The user's number; nil when nobody is called so.
    mutating func user(_ name: Substring) -> UInt32? {
        if let number = UInt32(name) { return number }
        let users = numbers.users ?? Self.read(files.users)
        numbers.users = users
        return users[name]
    }

    mutating func group(_ name: Substring) -> UInt32? {
        if let number = UInt32(name) { return number }
        let groups = numbers.groups ?? Self.read(files.groups)
        numbers.groups = groups
        return groups[name]
    }

    /// The third field of each line by the first; of a file that cannot be read, nothing.
    private static func read(_ path: String) -> [Substring: UInt32] {
        let bytes = (try? SystemCalls.readFile(path, bytesMax: fileBytesMax)) ?? []
        var numbers: [Substring: UInt32] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(
                separator: ":", maxSplits: 3, omittingEmptySubsequences: false)
            guard fields.count > 2, !fields[0].isEmpty, let number = UInt32(fields[2]),
                numbers[fields[0]] == nil
            else { continue }
            numbers[fields[0]] = number
        }
        return numbers
    }
}
