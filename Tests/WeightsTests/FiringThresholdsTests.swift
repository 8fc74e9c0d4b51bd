// Thresholds come back as they were written, lie between their neighbours, and nothing else is
// taken for them.

import FlashStorage
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing
import Weights

@Suite struct FiringThresholdsTests {
    private static let digest = "crc32c:1-2"
    private static let count = FiringThresholds.count

    private static let sidecar = Sidecar<FiringThresholds>(path: "t", digest: digest)

    /// Layer n's quantiles are 1·n, 2·n ... 200·n.
    private static func ramps(layers: Int) -> FiringThresholds {
        FiringThresholds(
            quantiles: (1...layers).map { layer in (1...count).map { Float($0 * layer) } })
    }

    @Test func thresholdsComeBack() throws {
        let packed = "/tmp/sluice-thresholds-\(getpid())-\(UInt64.random(in: 0..<(.max)))"
        let path = FiringThresholds.path(of: packed)
        defer { try? FileSystem.remove(path) }
        func load(_ digest: String, layers: Int) throws -> FiringThresholds? {
            try FiringThresholds.sidecar(besides: packed, digest: digest).read(for: layers)
        }
        #expect(try load(Self.digest, layers: 3) == nil)
        let thresholds = Self.ramps(layers: 3)
        try FiringThresholds.sidecar(besides: packed, digest: Self.digest).write(thresholds)
        #expect(try load(Self.digest, layers: 3) == thresholds)
        #expect(throws: SidecarError.self) { try load("crc32c:9-9", layers: 3) }
        #expect(throws: SidecarError.self) { try load(Self.digest, layers: 2) }
        #expect(throws: SidecarError.self) { try load(Self.digest, layers: 4) }
    }

    @Test func magnitudesLieBetweenQuantiles() {
        let thresholds = Self.ramps(layers: 2)
        for (sparsity, expected) in [
            (Float(0), Float(0)), (0.0025, 0.5), (0.005, 1), (0.25, 50), (0.2525, 50.5), (1, 200)
        ] {
            let found = thresholds.magnitudes(sparsity: sparsity)
            #expect(abs(found[0] - expected) < 1e-3 && abs(found[1] - 2 * expected) < 1e-3)
        }
    }

    @Test func damageIsRefused() throws {
        let bytes = Self.sidecar.encode(Self.ramps(layers: 2))
        #expect(Self.isAccepted(bytes))
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(!Self.isAccepted(Array(bytes.prefix(count))), "\(count) bytes")
        }
        var random = SplitMix(seed: 5)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(!Self.isAccepted(damaged), "byte \(index)")
        }
    }

    /// Checksums that are right do not make sense of what is wrong.
    @Test func impossibleThresholdsAreRefused() throws {
        let good = Array(Self.sidecar.encode(Self.ramps(layers: 2)).dropLast(4))
        let layers = 8 + 8 + 8 + Self.digest.utf8.count + 8
        func isAccepted(_ change: (inout [UInt8]) -> Void) -> Bool {
            var bytes = good
            change(&bytes)
            let checksum = Checksum.of(bytes[...])
            return Self.isAccepted(
                bytes + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) })
        }
        func put(_ value: Float, at place: Int, in bytes: inout [UInt8]) {
            let start = layers + 4 + 4 * place
            for byte in 0..<4 {
                bytes[start + byte] = UInt8(truncatingIfNeeded: value.bitPattern >> (8 * byte))
            }
        }
        #expect(isAccepted { _ in })
        #expect(isAccepted { put(0, at: 0, in: &$0) })
        #expect(!isAccepted { $0.append(0) })
        #expect(!isAccepted { $0[layers] = 3 })
        #expect(!isAccepted { put(-1, at: 0, in: &$0) })
        #expect(!isAccepted { put(.nan, at: 7, in: &$0) })
        #expect(!isAccepted { put(.infinity, at: Self.count - 1, in: &$0) })
        #expect(!isAccepted { put(1, at: 2, in: &$0) })
    }

    private static func isAccepted(_ bytes: [UInt8]) -> Bool {
        (try? sidecar.decode(bytes, for: 2)) != nil
    }
}
