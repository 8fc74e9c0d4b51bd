// What a model arrives in when its bytes come once, front to back: a pipe, a download.

internal import LinuxSystem

/// Bytes that can be read once.
package protocol ByteStream: Sendable {
    /// What messages call it.
    var name: String { get }
    /// All of them, where that is known before the last has come.
    var byteCount: UInt64? { get }

    /// Finds out whether it can be read, and how much there is.
    func open() throws(PackingError)

    /// Reads what comes next, at least a byte.
    ///
    /// - Returns: how many bytes; 0 at the end.
    func read(into buffer: inout MutableRawSpan) throws(PackingError) -> Int

    /// Says that the next read may be a long time off.
    func pause()

    /// How far it is, where it can be gone on from by another process; nil where it cannot.
    var mark: StreamMark? { get }

    /// Goes on where an earlier stream of the same identity was.
    ///
    /// - Parameters:
    ///   - state: of its mark.
    ///   - place: the byte that comes next, which that had not gone beyond its own end.
    /// - Returns: false where `state` is none; the stream is then as it was.
    func goOn(from state: [UInt8], at place: UInt64) -> Bool
}

/// What a stream is, and how far.
package struct StreamMark: Sendable, Equatable {
    /// Alike for the same bytes from the same place alone.
    package var identity: [UInt8]
    package var state: [UInt8]

    package init(identity: [UInt8], state: [UInt8]) {
        self.identity = identity
        self.state = state
    }
}

extension ByteStream {
    package func open() throws(PackingError) {}
    package func pause() {}
    package var mark: StreamMark? { nil }
    package func goOn(from state: [UInt8], at place: UInt64) -> Bool { false }
}

/// A pipe, or anything else that this process was given to read.
package final class PipeStream: ByteStream {
    package let name: String
    package let byteCount: UInt64? = nil
    private let file: FileDescriptor
    private let isCancelled: @Sendable () -> Bool
    /// Between two looks at whether to go on.
    private static let waitMilliseconds: Int32 = 100

    /// - Parameters:
    ///   - descriptor: not closed by this.
    ///   - isCancelled: asked while nothing arrives; true ends the reading.
    package init(
        descriptor: Int32, name: String, isCancelled: @escaping @Sendable () -> Bool
    ) throws(PackingError) {
        do throws(SystemError) {
            file = try FileDescriptor(duplicating: descriptor, name: name)
        } catch {
            throw .source(error)
        }
        self.name = name
        self.isCancelled = isCancelled
    }

    package func read(into buffer: inout MutableRawSpan) throws(PackingError) -> Int {
        while !isCancelled() {
            do throws(SystemError) {
                let count = try file.readArriving(into: &buffer, within: Self.waitMilliseconds)
                if let count { return count }
            } catch {
                throw .source(error)
            }
        }
        throw .cancelled
    }
}
