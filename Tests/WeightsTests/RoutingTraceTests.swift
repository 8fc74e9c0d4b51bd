// Routing traces: what was written is read back, and no damage goes unseen.

import Glibc
import LinuxSystem
import Measurement
import ModelFormat
import TestSupport
import Testing

@Suite struct RoutingTraceTests {
    private static let narrow = RoutingShape(
        layerCount: 3, expertsPerLayer: 256, expertsPerToken: 2)
    private static let wide = RoutingShape(layerCount: 2, expertsPerLayer: 600, expertsPerToken: 3)

    @Test(arguments: [narrow, wide]) func tracesComeBack(shape: RoutingShape) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let (steps, bytes) = try Self.recorded(shape, stepCount: 300, seed: seed)
        let trace = try RoutingTrace(bytes, file: "t")
        #expect(trace.shape == shape, "seed \(seed)")
        #expect(trace.steps == steps, "seed \(seed)")
    }

    @Test func stepsThatWereCutShortAreLeftOut() throws {
        let path = Self.scratchPath()
        defer { try? FileSystem.remove(path) }
        let writer = try RoutingTraceWriter(path: path, shape: Self.narrow)
        writer.record(layer: 0, experts: [1, 2])
        writer.record(layer: 1, experts: [3, 4])
        for layer in 0..<3 { writer.record(layer: layer, experts: [5, Int32(layer)]) }
        writer.record(layer: 0, experts: [7, 8])
        try writer.finish()
        let trace = try RoutingTrace(try #require(fileBytes(path)), file: path)
        #expect(trace.steps.map(\.experts) == [[5, 0, 5, 1, 5, 2]])
    }

    @Test func damagedTracesAreRefused() throws {
        let (_, bytes) = try Self.recorded(Self.narrow, stepCount: 4, seed: 7)
        for count in 0..<bytes.count { Self.expectRefused(Array(bytes.prefix(count))) }
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8.random(in: 0..<8)
            Self.expectRefused(damaged)
        }
    }

    /// Checksums that are right do not make sense of what is wrong.
    @Test func impossibleTracesAreRefused() throws {
        let header = Array("SLUICESCroutes\0\0".utf8)
        // The version, no digest; then the shape.
        let impossible: [[UInt32]] = [
            [2, 0, 1, 4, 1, 0], [1, 0, 0, 4, 1, 0], [1, 0, 1, 0, 1, 0], [1, 0, 1, 4, 5, 0],
            [1, 0, 1 << 20, 4, 1, 0], [1, 0, 1, 1 << 20, 1, 0], [1, 0, 1, 4, 1, .max],
            [1, 0, 1, 4, 1, 1], [1, 0, 1, 4, 1], [1, 0, 1, 4, 1, 0, 0],
            [1, 0, 1, 4, 4, 1, 0x0302_0404, 0], [1, 0, 1, 4, 4, 1, 0x0302_0202, 0]
        ]
        for words in impossible { Self.expectRefused(Self.sealed(header + Self.bytes(words))) }
        let possible = Self.sealed(header + Self.bytes([1, 0, 1, 4, 4, 1, 0x0302_0001, 0]))
        #expect(try RoutingTrace(possible, file: "t").tokenCount == 1)
    }

    private static func expectRefused(_ bytes: [UInt8]) {
        do throws(FormatError) {
            _ = try RoutingTrace(bytes, file: "t")
            Issue.record("read: \(bytes)")
        } catch {
            #expect(error.file == "t")
        }
    }

    private static func bytes(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: word >> $0) } }
    }

    private static func sealed(_ content: [UInt8]) -> [UInt8] {
        unsafe content + bytes([Checksum.of(content.span.bytes)])
    }

    private static func scratchPath() -> String {
        "/tmp/sluice-trace-\(getpid())-\(UInt64.random(in: 0..<(.max)))"
    }

    private static func recorded(
        _ shape: RoutingShape, stepCount: Int, seed: UInt64
    ) throws -> ([RoutingTrace.Step], [UInt8]) {
        var random = SplitMix(seed: seed)
        let path = scratchPath()
        defer { try? FileSystem.remove(path) }
        let writer = try RoutingTraceWriter(path: path, shape: shape)
        var steps: [RoutingTrace.Step] = []
        for _ in 0..<stepCount {
            let tokens = Int.random(in: 1...5, using: &random)
            var all: [UInt16] = []
            for layer in 0..<shape.layerCount {
                let chosen = (0..<tokens).flatMap { _ in
                    (0..<shape.expertsPerLayer).shuffled(using: &random)
                        .prefix(shape.expertsPerToken)
                }
                writer.record(layer: layer, experts: chosen.map { Int32($0) })
                all += chosen.map { UInt16($0) }
            }
            steps.append(RoutingTrace.Step(tokenCount: tokens, experts: all))
        }
        try writer.finish()
        #expect(writer.tokenCount == steps.reduce(0) { $0 + $1.tokenCount })
        return (steps, fileBytes(path) ?? [])
    }
}
