// Which experts a run's tokens chose, as a file: written while a model runs, replayed offline by
// the cache simulator. Only layers that have experts are counted.
//
// The header of sidecars, without a length of the content: a run ends when it ends. Then, little
// endian, 32 bits each unless said: layers, experts per layer, experts per token; then steps: the
// number of tokens, and for each layer and each token its experts, best first (8 bits each, or 16
// in models with more than 256 experts per layer); a zero instead of a step's tokens; CRC-32C of
// everything before.

internal import FlashStorage
package import LinuxSystem
package import ModelFormat

/// The shape of a routing.
package struct RoutingShape: Sendable, Equatable {
    package let layerCount: Int
    package let expertsPerLayer: Int
    package let expertsPerToken: Int

    package init(layerCount: Int, expertsPerLayer: Int, expertsPerToken: Int) {
        self.layerCount = layerCount
        self.expertsPerLayer = expertsPerLayer
        self.expertsPerToken = expertsPerToken
    }

    package var expertCount: Int { layerCount * expertsPerLayer }
    var isWide: Bool { expertsPerLayer > 256 }
}

/// A recorded run.
package struct RoutingTrace: Sendable, Equatable {
    fileprivate static let kind = SidecarKind(
        name: "routes", contents: "a routing trace", version: 1, bytesMax: .max,
        remedy: "record it again")
    private static let layersMax: UInt32 = 4096
    private static let expertsMax: UInt32 = 65536

    /// What one forward pass computed together.
    package struct Step: Sendable, Equatable {
        package let tokenCount: Int
        /// Layers × tokens × experts per token.
        package var experts: [UInt16]

        package init(tokenCount: Int, experts: [UInt16]) {
            self.tokenCount = tokenCount
            self.experts = experts
        }
    }

    package let shape: RoutingShape
    package var steps: [Step]

    package init(shape: RoutingShape, steps: [Step]) {
        self.shape = shape
        self.steps = steps
    }

    package var tokenCount: Int { steps.reduce(0) { $0 + $1.tokenCount } }

    /// Reads a trace.
    ///
    /// - Throws: `FormatError` when it is not one, or damaged.
    package init(_ bytes: [UInt8], file: String) throws(FormatError) {
        var reader = ByteReader(bytes, file: file)
        _ = try SidecarHeader(&reader, kind: Self.kind, digest: nil)
        let numbers = [try reader.word(), try reader.word(), try reader.word()]
        guard (1...Self.layersMax).contains(numbers[0]),
            (1...Self.expertsMax).contains(numbers[1]), (1...numbers[1]).contains(numbers[2])
        else { throw reader.error("layers, experts and experts per token", found: "\(numbers)") }
        shape = RoutingShape(
            layerCount: Int(numbers[0]), expertsPerLayer: Int(numbers[1]),
            expertsPerToken: Int(numbers[2]))
        steps = []
        while true {
            let tokens = Int(try reader.word())
            if tokens == 0 { break }
            steps.append(try Self.step(tokens, shape, &reader))
        }
        try reader.expectEnd()
    }

    private static func step(
        _ tokens: Int, _ shape: RoutingShape, _ reader: inout ByteReader
    ) throws(FormatError) -> Step {
        let count = tokens.multipliedReportingOverflow(
            by: shape.layerCount * shape.expertsPerToken)
        let size = count.partialValue.multipliedReportingOverflow(by: shape.isWide ? 2 : 1)
        guard !count.overflow, !size.overflow else {
            throw reader.error("fewer tokens", found: "\(tokens)")
        }
        let raw = try reader.take(size.partialValue)
        var experts: [UInt16] = []
        experts.reserveCapacity(count.partialValue)
        if shape.isWide {
            for index in stride(from: raw.startIndex, to: raw.endIndex, by: 2) {
                experts.append(UInt16(raw[index]) | UInt16(raw[index + 1]) << 8)
            }
        } else {
            experts = raw.map { UInt16($0) }
        }
        for first in stride(from: 0, to: experts.count, by: shape.expertsPerToken) {
            let chosen = experts[first..<first + shape.expertsPerToken]
            guard chosen.allSatisfy({ $0 < shape.expertsPerLayer }) else {
                throw reader.error("experts below \(shape.expertsPerLayer)", found: "\(chosen)")
            }
            guard Set(chosen).count == chosen.count else {
                throw reader.error("different experts for a token", found: "\(chosen)")
            }
        }
        return Step(tokenCount: tokens, experts: experts)
    }
}

/// Writes a trace while a model runs. Not safe to share between threads.
package final class RoutingTraceWriter {
    private static let bufferBytes = 64 << 10

    private let shape: RoutingShape
    private let file: FileDescriptor
    private var writer = ByteWriter()
    private var written: UInt64 = 0
    private var checksum = Checksum()
    /// The present step's experts so far; it counts once its last layer is there.
    private var step: [UInt8] = []
    private var nextLayer = 0
    private var failure: SystemError?
    package private(set) var tokenCount = 0

    /// Starts a trace at `path`, in place of what was there.
    package init(path: String, shape: RoutingShape) throws(SystemError) {
        self.shape = shape
        file = try FileDescriptor(path: path, mode: .create)
        SidecarHeader(kind: RoutingTrace.kind, digest: nil).write(to: &writer)
        writer.add(UInt32(shape.layerCount))
        writer.add(UInt32(shape.expertsPerLayer))
        writer.add(UInt32(shape.expertsPerToken))
    }

    /// Adds a layer of the present step. Layer 0 begins a step; one that did not reach the last
    /// layer is left out. Errors of writing come from ``finish()``.
    ///
    /// - Parameter experts: tokens × experts per token.
    package func record(layer: Int, experts: [Int32]) {
        if layer == 0 {
            step.removeAll(keepingCapacity: true)
            nextLayer = 0
        }
        guard layer == nextLayer else { return }
        nextLayer += 1
        for expert in experts {
            step.append(UInt8(truncatingIfNeeded: expert))
            if shape.isWide { step.append(UInt8(truncatingIfNeeded: expert >> 8)) }
        }
        guard nextLayer == shape.layerCount else { return }
        let tokens = experts.count / shape.expertsPerToken
        tokenCount += tokens
        writer.add(UInt32(tokens))
        writer.bytes += step
        if writer.bytes.count >= Self.bufferBytes { flush() }
    }

    /// Ends the trace.
    ///
    /// - Throws: `SystemError` when any of it could not be written.
    package func finish() throws(SystemError) {
        writer.add(UInt32(0))
        flush()
        writer.add(checksum.value)
        flush()
        if let failure { throw failure }
    }

    private func flush() {
        unsafe checksum.add(writer.bytes.span.bytes)
        do throws(SystemError) {
            if failure == nil { try unsafe file.write(writer.bytes.span.bytes, at: written) }
        } catch {
            failure = error
        }
        written += UInt64(writer.bytes.count)
        writer.bytes.removeAll(keepingCapacity: true)
    }
}
