// Sidecars of every kind: what was written is read, nothing else is, and no mishap while writing
// costs what was there.

import FlashStorage
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing
import Weights

@Suite struct SidecarTests {
    private static let digest = "crc32c:1-2"

    /// A kind of file, with what the tests need of it.
    struct Subject: Sendable, CustomTestStringConvertible {
        let kind: SidecarKind
        let bytes: [UInt8]
        let digest: String?
        /// Nil when the bytes are read as what was written, else the complaint.
        let complaint: @Sendable ([UInt8], String?) -> String?

        var testDescription: String { kind.contents }

        init<Value: SidecarValue & Equatable>(
            _ value: Value, digest: String?, context: Value.Context
        ) where Value.Context: Sendable {
            kind = Value.kind
            self.digest = digest
            bytes = Sidecar(path: "p", digest: digest).encode(value)
            complaint = { bytes, digest in
                do throws(FormatError) {
                    let read = try Sidecar<Value>(path: "p", digest: digest)
                        .decode(bytes, for: context)
                    return read == value ? nil : "something else was read"
                } catch {
                    return "\(SidecarError(Value.kind, .format(error)))"
                }
            }
        }
    }

    private static let popularity = ExpertPopularity(values: [0, 0.25, 1, 1e-20])

    static var subjects: [Subject] {
        var known = Measurements()
        known.memory = Measurements.Memory(bytesPerSecond: 5.25e10, threads: 2)
        let thresholds = FiringThresholds(
            quantiles: [(1...FiringThresholds.count).map { Float($0) }])
        return [
            Subject(popularity, digest: digest, context: 4),
            Subject(thresholds, digest: digest, context: 1),
            Subject(
                NeuronPredictorsTests.random(seed: 8), digest: digest,
                context: NeuronPredictorsTests.shape(width: 96, layers: 2)),
            Subject(known, digest: nil, context: ())
        ]
    }

    @Test(arguments: subjects) func everyPrefixAndEveryBitOfTheHeader(subject: Subject) {
        let bytes = subject.bytes
        #expect(subject.complaint(bytes, subject.digest) == nil)
        let step = max(1, bytes.count / 3000)
        for count in Array(0..<min(bytes.count, 200))
            + Array(stride(from: 200, to: bytes.count, by: step))
        {
            let said = subject.complaint(Array(bytes.prefix(count)), subject.digest)
            #expect(said?.contains(subject.kind.remedy) == true, "\(count) bytes: \(said ?? "")")
        }
        let header = 8 + 8 + 4 + 4 + (subject.digest?.utf8.count ?? 0) + 8
        for bit in 0..<8 * header {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            let said = subject.complaint(damaged, subject.digest)
            #expect(said?.contains(subject.kind.remedy) == true, "bit \(bit): \(said ?? "")")
        }
        #expect(subject.complaint(bytes + [0], subject.digest) != nil)
    }

    /// Right checksums make nobody believe what is not for them.
    @Test(arguments: subjects) func othersFilesAreRefused(subject: Subject) throws {
        let other = subject.digest == nil ? "crc32c:9-9" : nil
        let found = try #require(subject.complaint(subject.bytes, other))
        #expect(found.contains(subject.digest ?? "no model"), "\(found)")
        #expect(found.contains(subject.kind.remedy), "\(found)")
        var future = subject.bytes
        future[16] = 77
        let version = try #require(subject.complaint(Self.resealed(future), subject.digest))
        #expect(version.contains("version") && version.contains("found 77"), "\(version)")
        for stranger in Self.subjects where stranger.kind != subject.kind {
            let said = try #require(subject.complaint(stranger.bytes, stranger.digest))
            #expect(said.contains("expected \(subject.kind.contents)"), "\(said)")
        }
        // A length of the content that is not that of the content.
        let length = 24 + (subject.digest?.utf8.count ?? 0)
        for (place, value) in [(length, 1), (length + 7, 0x80)] as [(Int, UInt8)] {
            var bytes = subject.bytes
            bytes[place] ^= value
            #expect(subject.complaint(Self.resealed(bytes), subject.digest) != nil)
        }
        // A digest beyond the file.
        var bytes = subject.bytes
        bytes[23] = 0xFF
        #expect(subject.complaint(Self.resealed(bytes), subject.digest) != nil)
    }

    /// Files from before there was one header: magic, version and digest, then the content.
    @Test(arguments: subjects) func formerFilesAreRead(subject: Subject) throws {
        guard let magic = subject.kind.formerMagic else { return }
        let digest = try #require(subject.digest)
        let content = 24 + digest.utf8.count + 8
        let former =
            Array(magic.utf8) + subject.bytes[16..<content - 8] + subject.bytes[content...]
        #expect(subject.complaint(Self.resealed(former), digest) == nil)
        #expect(subject.complaint(Self.resealed(former), "another") != nil)
        #expect(subject.complaint(former, digest) != nil)
    }

    @Test func negativeCountsAreRefused() {
        for value in [Float.nan, .infinity, -1] {
            let sidecar = Sidecar<ExpertPopularity>(path: "p", digest: nil)
            let bytes = sidecar.encode(ExpertPopularity(values: [1, value]))
            #expect(throws: FormatError.self) { try sidecar.decode(bytes, for: 2) }
        }
    }

    @Test func missingAndLongFiles() throws {
        try withTemporaryDirectory { folder in
            let sidecar = Sidecar<Measurements>(path: "\(folder)/m", digest: nil)
            #expect(try sidecar.read(for: ()) == nil)
            try sidecar.write(Measurements())
            #expect(try sidecar.read(for: ()) == Measurements())
            let file = try FileDescriptor(path: sidecar.path, mode: .create)
            try file.truncate(byteCount: UInt64(Measurements.kind.bytesMax) + 1)
            let error = try #require(throws: SidecarError.self) { try sidecar.read(for: ()) }
            guard case .system(let cause) = error.cause else {
                Issue.record("\(error)")
                return
            }
            #expect(cause.errorNumber == EFBIG && "\(error)".contains(sidecar.path))
        }
    }

    @Test func twoWritersAtOnceLeaveOneWholeFile() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/p"
            // Of sizes that differ: half of one over the other would be seen.
            let values = [3, 40_000].map { count in
                ExpertPopularity(values: (0..<count).map { Float($0) })
            }
            try Sidecar(path: path, digest: "0").write(values[0])
            let threads = try (0..<2).map { number in
                try Thread(name: "writer") {
                    for _ in 0..<40 {
                        try? Sidecar(path: path, digest: "\(number)").write(values[number])
                    }
                }
            }
            for _ in 0..<200 {
                let bytes = try #require(fileBytes(path))
                let isWhole = (0..<2).contains { number in
                    bytes == Sidecar(path: path, digest: "\(number)").encode(values[number])
                }
                #expect(isWhole)
            }
            for thread in threads { thread.join() }
            #expect(try FileSystem.names(in: folder) == ["p"])
        }
    }

    /// What a process that was killed before the file took its place has left behind.
    @Test func halfAFileBesideIsNobodysConcern() throws {
        try withTemporaryDirectory { folder in
            let sidecar = Sidecar<ExpertPopularity>(path: "\(folder)/p", digest: "d")
            try sidecar.write(Self.popularity)
            let half = sidecar.encode(ExpertPopularity(values: [1, 2, 3, 4])).prefix(40)
            let file = try FileDescriptor(path: "\(folder)/p.part-1-1", mode: .create)
            try unsafe file.write(half.span.bytes, at: 0)
            #expect(try sidecar.read(for: 4) == Self.popularity)
            try sidecar.write(ExpertPopularity(values: [1, 2, 3, 4]))
            #expect(try sidecar.read(for: 4)?.values == [1, 2, 3, 4])
        }
    }

    @Test func aFullDiskKeepsWhatWasThere() throws {
        try withTemporaryDirectory { folder in
            let small = folder + "/small"
            try FileSystem.createDirectory(small)
            defer { _ = unsafe rmdir(small) }
            guard unsafe mount("tmpfs", small, "tmpfs", 0, "size=64k") == 0 else {
                print("skipped: this root may not mount")
                return
            }
            defer { _ = unsafe umount(small) }
            let sidecar = Sidecar<ExpertPopularity>(path: small + "/p", digest: "d")
            try sidecar.write(Self.popularity)
            let large = ExpertPopularity(values: [Float](repeating: 1, count: 30_000))
            let error = #expect(throws: SystemError.self) { try sidecar.write(large) }
            #expect(error?.errorNumber == ENOSPC)
            #expect(try FileSystem.names(in: small) == ["p"])
            #expect(try sidecar.read(for: 4) == Self.popularity)
        }
    }

    private static func resealed(_ bytes: [UInt8]) -> [UInt8] {
        let content = Array(bytes.dropLast(4))
        let sum = unsafe Checksum.of(content.span.bytes)
        return content + [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: sum >> $0) }
    }
}
