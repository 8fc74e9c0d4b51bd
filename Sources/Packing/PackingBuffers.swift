// The memory of one thread of an import. Fixed at its start: a piece of the source, the same piece
// re-quantised where the model has such tensors, and tiles that wait to be written. Page-aligned,
// so that reads and writes go past the page cache, and in huge pages where the kernel gives them.

internal import LinuxSystem
internal import Memory
internal import ModelFormat

/// Regions of one arena. Used by one thread.
struct PackingBuffers {
    private let arena: MemoryArena
    /// For pieces of neurons; of no bytes where the model has none.
    let neurons: MemoryArena
    private let pieceBytes: Int
    private let requantizedBytes: Int
    private let gatheredBytes: Int
    /// Reads of whole pages bring up to a page more at either end.
    private static let slackBytes = 2 * PackedLayout.alignment

    init(_ plan: PackingPlan, in ledger: MemoryLedger) throws(SystemError) {
        pieceBytes = PackedLayout.aligned(plan.pieceBytesMax)
        requantizedBytes = PackedLayout.aligned(plan.requantizedBytesMax)
        gatheredBytes = PackedLayout.aligned(plan.gatheredBytesMax)
        arena = try MemoryArena(byteCount: Self.pieceBytes(plan), for: .packing, in: ledger)
        neurons = try MemoryArena(
            byteCount: plan.neuronPiece?.byteCount ?? 0, for: .packing, in: ledger)
    }

    /// What one thread takes.
    static func byteCount(_ plan: PackingPlan) -> Int {
        pieceBytes(plan) + (plan.neuronPiece?.byteCount ?? 0)
    }

    /// Output, rows, the source's bytes where they are not the rows, and rows from several places.
    private static func pieceBytes(_ plan: PackingPlan) -> Int {
        let piece = PackedLayout.aligned(plan.pieceBytesMax)
        let requantized = PackedLayout.aligned(plan.requantizedBytesMax)
        return 2 * (piece + slackBytes) + (requantized > 0 ? requantized + slackBytes : 0)
            + PackedLayout.aligned(plan.gatheredBytesMax)
    }

    // MARK: Places in the arena: output first, then rows, then the source's own bytes, then rows
    // that were brought together.

    /// Bytes that may wait for writing.
    var outputRoom: Int { pieceBytes + Self.slackBytes }
    var rowsPlace: Int { outputRoom }
    private var sourcePlace: Int { 2 * outputRoom }
    var gatheredPlace: Int {
        sourcePlace + (requantizedBytes > 0 ? requantizedBytes + Self.slackBytes : 0)
    }

    @_lifetime(borrow self)
    func bytes(at place: Int, count: Int) -> RawSpan {
        unsafe _overrideLifetime(arena.bytes(at: place, byteCount: count), borrowing: self)
    }

    @_lifetime(borrow self)
    func outputBytes(count: Int) -> RawSpan { bytes(at: 0, count: count) }

    @_lifetime(borrow self)
    func outputBytes(_ range: Range<Int>) -> RawSpan {
        bytes(at: range.lowerBound, count: range.count)
    }

    // MARK: Filling

    /// Reads `count` bytes of `source`, past the page cache where that works.
    ///
    /// - Returns: where they are.
    func read(
        _ source: any ByteSource, at offset: UInt64, count: Int, isRequantized: Bool
    ) throws(FormatError) -> Int {
        let place = isRequantized ? sourcePlace : rowsPlace
        let page = UInt64(PackedLayout.alignment)
        let end = offset + UInt64(count)
        // Few bytes are not worth a wait for the disk when others may be in the cache.
        if let file = source as? FileByteSource, file.readsPages, count >= 1 << 16,
            end <= file.byteCount
        {
            let start = offset / page * page
            let stop = min((end + page - 1) / page * page, file.byteCount)
            var span = arena.mutableBytes(at: place, byteCount: Int(stop - start))
            try file.readPages(at: start, into: &span)
            return place + Int(offset - start)
        }
        var span = arena.mutableBytes(at: place, byteCount: count)
        try source.read(at: offset, into: &span)
        return place
    }

    /// Re-quantises source bytes into `count` bytes of rows.
    func convert(_ stored: StoredTensor, _ range: Range<Int>, count: Int) -> ConversionError {
        var rows = arena.mutableBytes(at: rowsPlace, byteCount: count)
        return Conversion.convert(
            stored, from: arena.bytes(at: range.lowerBound, byteCount: range.count), into: &rows)
    }

    /// Arranges rows, whole tiles, as tiles in the output.
    func arrange(_ range: Range<Int>, at place: Int, format: WeightFormat, columns: Int) {
        var tiles = arena.mutableBytes(at: place, byteCount: range.count)
        RowTiles.interleave(
            arena.bytes(at: range.lowerBound, byteCount: range.count), into: &tiles,
            format: format, columns: columns)
    }

    func zero(_ range: Range<Int>) {
        var span = arena.mutableBytes(at: range.lowerBound, byteCount: range.count)
        unsafe span.withUnsafeMutableBytes { bytes in
            _ = unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    func zeroOutput(_ range: Range<Int>) { zero(range) }

    func copyToOutput(_ bytes: RawSpan, at place: Int) {
        var span = arena.mutableBytes(at: place, byteCount: bytes.byteCount)
        unsafe span.withUnsafeMutableBytes { output in
            unsafe bytes.withUnsafeBytes { unsafe output.copyMemory(from: $0) }
        }
    }

    /// Copies rows to those that are brought together, so many bytes from their start.
    func gather(_ range: Range<Int>, at byteOffset: Int) {
        precondition(byteOffset + range.count <= gatheredBytes, "too many rows at once")
        arena.copy(
            byteCount: range.count, from: range.lowerBound, to: gatheredPlace + byteOffset)
    }

    /// Moves a range of the output, less than a page, to its start.
    func moveOutput(_ range: Range<Int>) {
        copyToOutput(outputBytes(range), at: 0)
    }
}
