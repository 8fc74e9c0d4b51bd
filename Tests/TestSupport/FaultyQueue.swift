// A drive that misbehaves at a chosen read or write.

package import LinuxSystem
import Synchronization

/// What goes wrong with one read or write.
package enum StorageFault: Sendable, Equatable {
    case error(Int32)
    /// Only the first block is transferred, if there is more than one.
    case short
    case endOfFile
    /// All bytes arrive, one bit of them wrong.
    case flippedBit
    /// Its completion, and all after it, come this much later.
    case stall(nanoseconds: UInt64)
}

/// Says which read goes wrong. Shared between a test and the queue under the engine.
package final class FaultScript: Sendable {
    private struct State {
        var reads = 0
        var fault: (indices: Range<Int>, fault: StorageFault)?
        var hasFired = false
    }

    private let state = Mutex(State())

    package init() {}

    /// Reads since the script was armed, or from the beginning.
    package var reads: Int { state.withLock { $0.reads } }
    package var hasFired: Bool { state.withLock { $0.hasFired } }

    /// From now on, `count` reads from number `index` on suffer `fault`; nil lets all pass.
    package func arm(_ fault: StorageFault?, at index: Int = 0, count: Int = 1) {
        state.withLock { $0 = State(fault: fault.map { (index..<index + count, $0) }) }
    }

    fileprivate func next() -> StorageFault? {
        state.withLock { state in
            defer { state.reads += 1 }
            guard let (indices, fault) = state.fault, indices.contains(state.reads) else {
                return nil
            }
            state.hasFired = true
            return fault
        }
    }
}

/// A queue between the reader and a real one.
package final class FaultyQueue: StorageQueue {
    package var kind: String { queue.kind }
    package var depth: Int { queue.depth }
    private let queue: any StorageQueue
    private let arena: MemoryArena
    private let script: FaultScript
    private var invented: [StorageResult] = []
    /// Where a bit is flipped when the read with this tag is done.
    private var flips: [UInt64: Int] = [:]
    /// Until when nothing completes.
    private var silentUntilNanoseconds: UInt64 = 0

    package init(_ queue: any StorageQueue, arena: MemoryArena, script: FaultScript) {
        self.queue = queue
        self.arena = arena
        self.script = script
    }

    package func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        try queue.register(file)
    }

    package func push(_ command: StorageCommand) {
        switch script.next() {
        case nil: queue.push(command)
        case .error(let number):
            invented.append(StorageResult(tag: command.tag, outcome: .failed(errorNumber: number)))
        case .endOfFile: invented.append(StorageResult(tag: command.tag, outcome: .bytes(0)))
        case .short:
            var shorter = command
            shorter.byteCount = min(command.byteCount, 4096)
            queue.push(shorter)
        case .stall(let nanoseconds):
            silentUntilNanoseconds = MonotonicClock.nanoseconds + nanoseconds
            queue.push(command)
        case .flippedBit:
            flips[command.tag] = command.arenaOffset
            queue.push(command)
        }
    }

    package func flush() throws(SystemError) { try queue.flush() }

    package func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult? {
        let now = MonotonicClock.nanoseconds
        if silentUntilNanoseconds > now {
            let silence = min(silentUntilNanoseconds - now, nanosecondsMax)
            Thread.sleep(microseconds: UInt32(silence / 1000))
            if silence == nanosecondsMax { return nil }
        }
        if let result = invented.popLast() { return result }
        let result = try queue.next(within: nanosecondsMax)
        if let result, let offset = flips.removeValue(forKey: result.tag) {
            let arena = arena
            var byte = arena.mutableBytes(at: offset, byteCount: 1)
            let old = unsafe byte.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
            byte.storeBytes(of: old ^ 4, toByteOffset: 0, as: UInt8.self)
        }
        return result
    }
}
