// What the kernel says about memory: how much this process uses, and the limits of the cgroups
// above it.

internal import CLinux
internal import Glibc

/// This process's memory, from /proc/self/status (proc(5)).
package struct ProcessMemory: Sendable, Equatable {
    /// Resident now (VmRSS).
    package let residentBytes: Int
    /// The most that was ever resident (VmHWM).
    package let residentPeakBytes: Int

    /// Reads the two figures; zero where the kernel hides them.
    package static func current() -> ProcessMemory {
        let status = TextFile.read("/proc/self/status") ?? ""
        return ProcessMemory(
            residentBytes: kibibytes("VmRSS:", in: status) << 10,
            residentPeakBytes: kibibytes("VmHWM:", in: status) << 10)
    }

    /// Gives memory that was freed back to the system (malloc_trim(3)). Takes milliseconds.
    package static func release() { clinux_release_memory() }

    /// Gives back the code that ran until now, and its constants: pages of the program's file, of
    /// which starting takes much that is never run again. What is used again is mapped again, at
    /// the price of a fault.
    package static func releaseCode() { clinux_release_code() }

    private static func kibibytes(_ key: String, in status: String) -> Int {
        for line in status.split(separator: "\n") where line.hasPrefix(key) {
            let fields = line.dropFirst(key.count).split { $0 == " " || $0 == "\t" }
            return fields.first.flatMap { Int($0) } ?? 0
        }
        return 0
    }
}

/// The machine's and the cgroups' limits.
package enum MemoryLimits {
    /// The smallest limit that applies to this process, in bytes: physical memory, and
    /// `memory.max`, `memory.high` (cgroup v2) or `memory.limit_in_bytes` (v1) of its cgroup and
    /// all above it.
    package static func smallestBytes() -> Int {
        var smallest = physicalBytes()
        for path in limitFiles(cgroups: TextFile.read("/proc/self/cgroup") ?? "") {
            guard let text = TextFile.read(path), let limit = Int(text.trimmed) else { continue }
            smallest = min(smallest, limit)
        }
        return smallest
    }

    /// What may be taken without pushing others out (`MemAvailable` of /proc/meminfo, proc(5)), or
    /// all physical memory where the kernel does not say.
    package static func availableBytes() -> Int {
        for line in (TextFile.read("/proc/meminfo") ?? "").split(separator: "\n") {
            let fields = line.split { $0 == " " || $0 == "\t" }
            guard fields.count > 1, fields[0] == "MemAvailable:" else { continue }
            if let kibibytes = Int(fields[1]) { return kibibytes << 10 }
        }
        return physicalBytes()
    }

    /// Of a limit, kept for the program's own pages that measuring maps.
    private static let ownBytes = 3 << 20

    /// What this process may still take for a measurement: what it leaves of `limit`, and no more
    /// than half of what the machine and the cgroups leave it, so that none of them is hit.
    package static func leftBytes(of limit: Int?) -> Int {
        ProcessMemory.release()
        let resident = ProcessMemory.current().residentBytes
        let machine = min(smallestBytes() - resident, availableBytes()) / 2
        return max(0, min(machine, limit.map { $0 - resident - ownBytes } ?? .max))
    }

    /// Physical memory in bytes (sysconf(3)).
    package static func physicalBytes() -> Int {
        sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    }

    /// Every file that may hold a limit for a process with this /proc/self/cgroup (cgroups(7)).
    package static func limitFiles(cgroups: String) -> [String] {
        var files: [String] = []
        for line in cgroups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            let (root, names): (String, [String])
            if fields[0] == "0" && controllers.isEmpty {
                (root, names) = ("/sys/fs/cgroup", ["memory.max", "memory.high"])
            } else if controllers.contains("memory") {
                (root, names) = ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes"])
            } else {
                continue
            }
            var path = root
            files += names.map { "\(path)/\($0)" }
            for component in fields[2].split(separator: "/") {
                path += "/\(component)"
                files += names.map { "\(path)/\($0)" }
            }
        }
        return files
    }
}

/// Small text files of the kernel's.
package enum TextFile {
    private static let bytesMax = 64 << 10

    /// The file's text, or nil when it cannot be read.
    package static func read(_ path: String) -> String? {
        guard let file = try? FileDescriptor(path: path, mode: .read) else { return nil }
        var bytes = [UInt8](repeating: 0, count: bytesMax)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        guard let count = try? file.read(at: 0, into: &raw) else { return nil }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}

extension StringProtocol {
    /// Without white space at either end.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
