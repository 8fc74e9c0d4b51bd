// Owns large memory: one anonymous mapping, reserved first, sized once, handed out in pieces,
// returned as a whole. Nothing here grows, so a budget that holds at start holds afterwards.

internal import Glibc
package import Memory

/// A fixed region of zeroed memory from which buffers are cut.
///
/// Regions of 2 MiB and more are aligned to 2 MiB and marked for transparent huge pages
/// (madvise(2), MADV_HUGEPAGE): reads with O_DIRECT into huge pages were measured at three times
/// the speed.
@safe
package final class MemoryArena: @unchecked Sendable {
    package static let hugePageBytes = 2 << 20
    package static let pageBytes = 4096

    package let byteCount: Int
    package private(set) var usedBytes = 0
    private let mapping: UnsafeMutableRawPointer
    private let mappingBytes: Int
    private let base: UnsafeMutableRawPointer
    /// Given back with the memory.
    private let reservation: MemoryReservation

    /// Maps `byteCount` bytes of what was reserved. Physical memory is taken as the bytes are first
    /// touched.
    ///
    /// - Throws: `SystemError` when the kernel refuses the mapping.
    /// - Precondition: so many bytes are reserved.
    package init(
        byteCount: Int, of reservation: consuming MemoryReservation
    ) throws(SystemError) {
        precondition(
            byteCount >= 0 && byteCount <= reservation.byteCount, "memory that nobody reserved")
        let wanted = max(byteCount, Self.pageBytes)
        let isHuge = wanted >= Self.hugePageBytes
        let slack = isHuge ? Self.hugePageBytes : 0
        let mapped = unsafe mmap(
            nil, wanted + slack, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw SystemError("mmap", errorNumber: errno, subject: "\(wanted) bytes of memory")
        }
        unsafe mapping = mapped
        mappingBytes = wanted + slack
        let alignment = isHuge ? Self.hugePageBytes : Self.pageBytes
        unsafe base = mapped.alignedUp(toMultipleOf: alignment)
        self.byteCount = byteCount
        self.reservation = reservation
        if isHuge { _ = unsafe madvise(base, wanted, MADV_HUGEPAGE) }
    }

    /// Reserves `byteCount` bytes for `term` and maps them.
    ///
    /// - Throws: `SystemError` when the ledger or the kernel refuses them.
    package convenience init(
        byteCount: Int, for term: MemoryTerm, in ledger: MemoryLedger
    ) throws(SystemError) {
        let reservation: MemoryReservation
        do {
            reservation = try ledger.reserve(term, byteCount)
        } catch {
            throw SystemError("reserve", errorNumber: ENOMEM, subject: "\(error)")
        }
        try self.init(byteCount: byteCount, of: reservation)
    }

    deinit { unsafe munmap(mapping, mappingBytes) }

    /// What ``allocate(byteCount:alignment:)`` takes from an arena for one piece, for sums made in
    /// advance.
    package static func footprint(_ byteCount: Int, alignment: Int = 64) -> Int {
        (byteCount + alignment - 1) / alignment * alignment
    }

    /// Copies bytes from one place of the arena to another; the two do not overlap.
    package func copy(byteCount: Int, from source: Int, to target: Int) {
        precondition(byteCount >= 0 && source >= 0 && target >= 0)
        precondition(max(source, target) + byteCount <= self.byteCount, "a place is outside")
        unsafe (base + target).copyMemory(from: base + source, byteCount: byteCount)
    }

    /// Copies `bytes` to a place of the arena; the two do not overlap.
    package func copy(_ bytes: RawSpan, to target: Int) {
        precondition(
            target >= 0 && target + bytes.byteCount <= byteCount, "a place is outside")
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + target).copyMemory(from: start, byteCount: source.count)
        }
    }

    /// Cuts a piece of `byteCount` bytes. The piece lives as long as the arena.
    ///
    /// - Precondition: the piece fits. Whoever made the arena summed its pieces first.
    package func allocate(byteCount: Int, alignment: Int = 64) -> UnsafeMutableRawBufferPointer {
        let start = Self.footprint(usedBytes, alignment: alignment)
        precondition(byteCount >= 0 && start + byteCount <= self.byteCount, "arena sum is wrong")
        usedBytes = start + byteCount
        return unsafe UnsafeMutableRawBufferPointer(start: base + start, count: byteCount)
    }

    /// Cuts the next piece at `offset`: for pieces that lie where a plan has them, which may share
    /// memory that they use in turn.
    package func moveCut(to offset: Int) {
        precondition(offset >= 0 && offset <= byteCount, "a place is outside")
        usedBytes = offset
    }

    /// Sets every byte of a range.
    package func fill(_ range: Range<Int>, with byte: UInt8) {
        checkRange(range.lowerBound, range.count)
        unsafe (base + range.lowerBound).initializeMemory(
            as: UInt8.self, repeating: byte, count: range.count)
    }

    /// The address of a range, for a read's destination.
    ///
    /// - Precondition: the range lies in the arena.
    func address(_ offset: Int, byteCount: Int) -> UnsafeMutableRawPointer {
        checkRange(offset, byteCount)
        return unsafe base + offset
    }

    /// A view of a range: weights that were read and are now computed on.
    ///
    /// The caller sees to it that no read writes there meanwhile.
    @_lifetime(borrow self)
    package func bytes(at offset: Int, byteCount: Int) -> RawSpan {
        checkRange(offset, byteCount)
        return unsafe _overrideLifetime(
            RawSpan(_unsafeStart: UnsafeRawPointer(base + offset), byteCount: byteCount),
            borrowing: self)
    }

    /// A writable view of a range.
    ///
    /// The caller sees to it that nothing else uses the range meanwhile.
    @_lifetime(borrow self)
    package func mutableBytes(at offset: Int, byteCount: Int) -> MutableRawSpan {
        checkRange(offset, byteCount)
        return unsafe _overrideLifetime(
            MutableRawSpan(_unsafeStart: base + offset, byteCount: byteCount), borrowing: self)
    }

    private func checkRange(_ offset: Int, _ byteCount: Int) {
        precondition(
            offset >= 0 && byteCount >= 0 && offset + byteCount <= self.byteCount,
            "range is outside the arena")
    }
}

/// A fixed array of plain values, cut from an arena.
@safe
package struct Buffer<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
    package let count: Int
    private let arena: MemoryArena
    private let pointer: UnsafeMutablePointer<Element>

    /// Cuts `count` zeroed elements from `arena`.
    package init(count: Int, in arena: MemoryArena) {
        let bytes = unsafe arena.allocate(byteCount: count * MemoryLayout<Element>.stride)
        unsafe pointer = bytes.baseAddress!.bindMemory(to: Element.self, capacity: max(count, 1))
        self.count = count
        self.arena = arena
    }

    /// Bytes that `count` elements take from an arena.
    package static func footprint(count: Int) -> Int {
        MemoryArena.footprint(count * MemoryLayout<Element>.stride)
    }

    package var span: Span<Element> {
        @_lifetime(borrow self)
        get {
            unsafe _overrideLifetime(Span(_unsafeStart: pointer, count: count), borrowing: self)
        }
    }

    package var mutableSpan: MutableSpan<Element> {
        @_lifetime(&self)
        mutating get {
            unsafe _overrideLifetime(
                MutableSpan(_unsafeStart: pointer, count: count), mutating: &self)
        }
    }

    /// The elements of `range`, writable.
    @_lifetime(&self)
    package mutating func mutableSpan(in range: Range<Int>) -> MutableSpan<Element> {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "range is outside")
        return unsafe _overrideLifetime(
            MutableSpan(_unsafeStart: pointer + range.lowerBound, count: range.count),
            mutating: &self)
    }

    package subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count, "index is outside the buffer")
            return unsafe pointer[index]
        }
        set {
            precondition(index >= 0 && index < count, "index is outside the buffer")
            unsafe pointer[index] = newValue
        }
    }
}
