// Which device holds a file, and by what it is known again: numbers alone go to another disk at the
// next start.

internal import Glibc

/// The device under a file system.
package struct BlockDevice: Sendable, Hashable {
    /// stat(2)'s `st_dev`, as `major:minor`.
    package let number: String
    /// The kernel's name such as `nvme0n1p2`; for file systems that have no device of their own,
    /// their kind and source as mounted, such as `btrfs /dev/sda2`.
    package let name: String
    /// 0 where the kernel does not say.
    package let byteCount: UInt64
    /// What the device says of itself (model, name, serial number); empty where nothing is known.
    package let model: String

    package init(number: String, name: String, byteCount: UInt64, model: String) {
        self.number = number
        self.name = name
        self.byteCount = byteCount
        self.model = model
    }

    /// The device that holds the file or directory at `path` (stat(2), sysfs(5),
    /// proc_pid_mountinfo(5)).
    ///
    /// - Throws: `SystemError` when there is nothing at `path`.
    package static func holding(_ path: String) throws(SystemError) -> BlockDevice {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw SystemError("stat", errorNumber: errno, subject: path)
        }
        let device = UInt64(status.st_dev)
        // glibc's makedev(3), whose inverses are macros.
        let major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
        let minor = device & 0xFF | device >> 12 & 0xFFFF_FF00
        let number = "\(major):\(minor)"
        let folder = "/sys/dev/block/\(number)"
        guard let events = TextFile.read("\(folder)/uevent") else {
            let mounts = TextFile.read("/proc/self/mountinfo") ?? ""
            return BlockDevice(
                number: number, name: mountedName(number, mounts: mounts), byteCount: 0, model: "")
        }
        let sectors = UInt64(word("\(folder)/size")) ?? 0
        return BlockDevice(
            number: number, name: value(of: "DEVNAME", in: events),
            byteCount: sectors.multipliedReportingOverflow(by: 512).partialValue,
            model: model(folder))
    }

    /// Kind and source of the file system with this number.
    package static func mountedName(_ number: String, mounts: String) -> String {
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2, fields[2] == number,
                let dash = fields.firstIndex(of: "-"), dash + 2 < fields.count
            else { continue }
            return "\(fields[dash + 1]) \(fields[dash + 2])"
        }
        return ""
    }

    /// A partition's folder lies in its disk's.
    private static func model(_ folder: String) -> String {
        let names = [
            "device/model", "device/name", "device/serial", "serial", "wwid", "dm/name", "dm/uuid"
        ]
        var words: [String] = []
        for place in [folder, folder + "/.."] {
            for name in names {
                let word = word("\(place)/\(name)")
                if !word.isEmpty && !words.contains(word) { words.append(word) }
            }
            if !words.isEmpty { break }
        }
        return words.joined(separator: " ")
    }

    private static func word(_ path: String) -> String {
        let text = TextFile.read(path) ?? ""
        let words = text.split { $0.isWhitespace || $0 == "\0" }
        return words.joined(separator: " ")
    }

    private static func value(of key: String, in events: String) -> String {
        for line in events.split(separator: "\n") where line.hasPrefix(key + "=") {
            return String(line.dropFirst(key.count + 1))
        }
        return ""
    }
}
