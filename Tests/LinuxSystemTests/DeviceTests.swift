// Which device holds a file, and whether large memory gets huge pages.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct DeviceTests {
    @Test func filesOfOneDirectoryAreOnOneDevice() throws {
        try withTemporaryDirectory { directory in
            let file = try FileDescriptor(path: "\(directory)/file", mode: .create)
            let device = try BlockDevice.holding(file.path)
            #expect(try BlockDevice.holding(directory) == device)
            var status = stat()
            #expect(unsafe stat(directory, &status) == 0)
            // /proc/self/mountinfo and sysfs write device numbers in this form.
            let parts = device.number.split(separator: ":").compactMap { UInt64($0) }
            #expect(parts.count == 2 && !device.name.isEmpty)
            #expect(parts.last.map { $0 & 0xFF } == UInt64(status.st_dev) & 0xFF)
        }
        #expect(try BlockDevice.holding("/proc").name == "proc proc")
        #expect(throws: SystemError.self) { try BlockDevice.holding("/nowhere/at/all") }
    }

    @Test func fileSystemsWithoutDevicesAreKnownByTheirMount() {
        let mounts = """
            36 35 0:31 / /data rw,noatime shared:1 - btrfs /dev/sda2 rw,ssd
            37 35 0:32 / /other rw - overlay overlay rw,lowerdir=/a
            broken line
            38 35 0:33 / /x rw -
            """
        #expect(BlockDevice.mountedName("0:31", mounts: mounts) == "btrfs /dev/sda2")
        #expect(BlockDevice.mountedName("0:32", mounts: mounts) == "overlay overlay")
        #expect(BlockDevice.mountedName("0:33", mounts: mounts).isEmpty)
        #expect(BlockDevice.mountedName("9:9", mounts: mounts).isEmpty)
    }

    /// Whether the kernel gives huge pages to those that ask (madvise(2)).
    private static let hasHugePages: Bool = {
        let folder = "/sys/kernel/mm/transparent_hugepage"
        let enabled = TextFile.read("\(folder)/enabled") ?? "[never]"
        return !enabled.contains("[never]")
    }()

    /// What reads land in is aligned and huge, but for the end that is no whole huge page.
    @Test(.enabled(if: hasHugePages, "the kernel has no transparent huge pages"))
    func largeArenasHaveHugePages() throws {
        let byteCount = 8 * MemoryArena.hugePageBytes + 12288
        let arena = try MemoryArena(byteCount: byteCount)
        let bytes = unsafe arena.allocate(byteCount: byteCount)
        let start = UInt(bitPattern: bytes.baseAddress)
        #expect(start % UInt(MemoryArena.hugePageBytes) == 0)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 1)
        let mapping = try #require(try Self.mapping(holding: start))
        #expect(mapping.wantsHugePages)
        // A machine whose memory is in small pieces may have fewer huge pages to give.
        if mapping.hugeKibibytes == 0 { print("no huge page was free") }
        #expect(mapping.hugeKibibytes % 2048 == 0)
        #expect(mapping.hugeKibibytes <= 8 * 2048)
        #expect(mapping.residentKibibytes <= (byteCount >> 10) + 4)
    }

    private struct Mapping {
        var residentKibibytes = 0
        var hugeKibibytes = 0
        var wantsHugePages = false
    }

    /// The entry of /proc/self/smaps (proc(5)) for the mapping with this address.
    private static func mapping(holding address: UInt) throws -> Mapping? {
        var found: Mapping?
        // The kernel gives these files no size.
        let file = try FileDescriptor(path: "/proc/self/smaps", mode: .read)
        var bytes = [UInt8](repeating: 0, count: 8 << 20)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let count = try file.read(at: 0, into: &raw)
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            let ends = (words.first ?? "").split(separator: "-").compactMap { UInt($0, radix: 16) }
            if ends.count == 2 {
                if found != nil { return found }
                if ends[0] <= address && address < ends[1] { found = Mapping() }
            }
            guard found != nil, words.count > 1 else { continue }
            switch words[0] {
            case "Rss:": found?.residentKibibytes = Int(words[1]) ?? 0
            case "AnonHugePages:": found?.hugeKibibytes = Int(words[1]) ?? 0
            case "VmFlags:": found?.wantsHugePages = words.contains("hg")
            default: break
            }
        }
        return found
    }
}
