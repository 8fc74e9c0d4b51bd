// Moves weights from a GGUF file to a packed file, one extent at a time: reads, re-quantises,
// arranges, sums up, writes. Each thread of an import has one, with memory of its own.

internal import LinuxSystem
internal import Memory
internal import ModelFormat

/// One thread's hands: page-aligned memory for a piece as the source has it, as rows, and as tiles.
struct PackingWorker: ~Copyable {
    let run: PackingRun
    let buffers: PackingBuffers
    /// Of the extent being written.
    private var checksum = Checksum()
    /// Where the next byte of it goes, but for those that wait.
    private var offset: UInt64 = 0
    /// Bytes at the start of the output that wait for a whole page.
    private var waiting = 0
    /// Of those, bytes at the start of a page that are another part's.
    private var skipped = 0
    /// For rows of down matrices that come in the source's order.
    let columns: MemoryArena?

    /// - Parameter columnBytes: of ``columns``; 0 where tasks are the packed file's.
    init(_ run: PackingRun, columnBytes: Int = 0) throws(PackingError) {
        let memory = try fromDestination { () throws(SystemError) in
            let columns =
                columnBytes == 0
                ? nil : try MemoryArena(byteCount: columnBytes, for: .packing, in: run.ledger)
            return (try PackingBuffers(run.plan, in: run.ledger), columns)
        }
        self.run = run
        buffers = memory.0
        columns = memory.1
    }

    /// Takes tasks until none is left; a failure is the run's.
    mutating func performAll() {
        do throws(PackingError) {
            while let task = run.nextTask() { try perform(task) }
        } catch {
            run.fail(error)
        }
    }

    // MARK: - Extents

    mutating func perform(_ task: PackingTask) throws(PackingError) {
        let manifest = run.plan.manifest
        switch task {
        case .rows(let table, let piece): try writeRows(of: table, piece: piece)
        case .matrix(let index, let extentIndex):
            let record = manifest.matrices[index]
            let extent = record.extent(extentIndex)
            try begin(at: extent.offset)
            let rows = run.plan.matrices[index]
            try appendTiles(extent.rows, of: rows, counts: true)
            if record.role == .output, run.plan.isTied {
                notePages(of: .embeddings, from: Int(extent.offset - record.offset))
            }
            let value = try end()
            run.set { $0.matrices[index].checksums[extentIndex] = value }
        case .expert(let entry, let index):
            let value = try writeExpert(
                manifest.experts[entry], index, run.plan.experts[entry][index])
            run.set { $0.experts[entry].checksums[index] = value }
        case .neurons(let layer, let piece): try writeNeurons(layer: layer, piece: piece)
        }
    }

    /// A piece of a table's rows as they are stored, and a checksum per page.
    private mutating func writeRows(of table: RowTable, piece: Int) throws(PackingError) {
        guard let record = run.plan.manifest[table] else {
            preconditionFailure("a piece of no table")
        }
        let pieceBytes = run.plan.pieceBytes(of: table)
        let start = piece * pieceBytes
        let count = min(pieceBytes, record.byteCount - start)
        try begin(at: record.offset + UInt64(start))
        // A view of the buffers borrows this reference, not the worker, which changes meanwhile.
        let buffers = buffers
        let place = try load(run.plan[table], at: start, count: count, counts: true)
        try append(buffers.bytes(at: place, count: count))
        notePages(of: table, from: start)
        _ = try end()
    }

    /// Sums up the pages that wait, all of the piece or extent, which is at `start` of the
    /// table's region.
    private mutating func notePages(of table: RowTable, from start: Int) {
        let (page, byteCount, buffers) = (PackedLayout.alignment, waiting, buffers)
        _ = padToPage()
        let pages = buffers.outputBytes(count: waiting)
        let checksums = stride(from: 0, to: pages.byteCount, by: page).map {
            Checksum.of(pages.extracting($0..<$0 + page))
        }
        waiting = byteCount
        run.setChecksums(checksums, of: table, from: start / page)
    }

    /// - Returns: the bundle's checksum.
    private mutating func writeExpert(
        _ record: PackedExpertLayer, _ index: Int, _ sources: [TensorRows]
    ) throws(PackingError) -> UInt32 {
        let start = record.extent(index).offset
        try begin(at: start)
        for (part, source) in zip(record.parts, sources) {
            try pad(to: start + UInt64(part.byteOffset))
            let step = PackedLayout.rowsPerExtent(
                format: part.format, rows: part.rows, columns: part.columns)
            for row in Swift.stride(from: 0, to: part.rows, by: step) {
                try appendTiles(row..<min(row + step, part.rows), of: source, counts: true)
            }
        }
        if let biasOffset = record.biasOffset {
            try pad(to: start + UInt64(biasOffset))
            for (part, source) in zip(record.parts, sources.dropFirst(record.parts.count)) {
                try appendFloats(part.rows, of: source)
            }
        }
        return try end()
    }

    /// Writes bytes that are in memory as one extent, and returns its checksum.
    mutating func writeExtent(
        at start: UInt64,
        _ contents: (inout PackingWorker) throws(PackingError) -> Void
    ) throws(PackingError) -> PackedExtent {
        try begin(at: start)
        try contents(&self)
        let end = offset + UInt64(waiting)
        return PackedExtent(
            offset: start, byteCount: Int(end - start), checksum: try self.end())
    }

    // MARK: - Pieces

    private mutating func begin(at start: UInt64) throws(PackingError) {
        try run.checkCancelled()
        precondition(waiting == 0, "extents end before others begin")
        offset = start
        checksum = Checksum()
    }

    /// Ends the extent, zeros up to the next page, and returns its checksum.
    private mutating func end() throws(PackingError) -> UInt32 {
        let value = checksum.value
        let padding = padToPage()
        let written = waiting
        try flush()
        run.advance(byteCount: written - padding)
        return value
    }

    /// Begins a part of an extent, whose neighbours other calls write: anywhere in a page.
    mutating func beginPart(at start: UInt64) throws(PackingError) {
        let page = UInt64(PackedLayout.alignment)
        try begin(at: start / page * page)
        skipped = Int(start % page)
        waiting = skipped
    }

    /// Ends the part, and returns the checksum of its bytes.
    mutating func endPart() throws(PackingError) -> UInt32 {
        let value = checksum.value
        let written = waiting - skipped
        try flush()
        let rest = skipped..<waiting
        if !rest.isEmpty {
            do {
                try run.file.write(
                    buffers.outputBytes(rest), at: offset + UInt64(rest.lowerBound))
            } catch {
                throw .destination(error)
            }
        }
        (waiting, skipped) = (0, 0)
        run.advance(byteCount: written)
        return value
    }

    /// Fills the waiting bytes' last page with zeros, which no checksum covers.
    private mutating func padToPage() -> Int {
        let padded = PackedLayout.aligned(waiting)
        buffers.zeroOutput(waiting..<padded)
        defer { waiting = padded }
        return padded - waiting
    }

    /// Writes the whole pages that wait.
    private mutating func flush() throws(PackingError) {
        let whole = waiting / PackedLayout.alignment * PackedLayout.alignment
        guard whole > 0 else { return }
        let start = skipped == 0 ? 0 : PackedLayout.alignment
        do {
            if skipped > 0 {
                try run.file.write(
                    buffers.outputBytes(skipped..<start), at: offset + UInt64(skipped))
            }
            if start < whole {
                try run.file.writePages(
                    buffers.outputBytes(start..<whole), at: offset + UInt64(start))
            }
        } catch {
            throw .destination(error)
        }
        skipped = 0
        offset += UInt64(whole)
        buffers.moveOutput(whole..<waiting)
        waiting -= whole
    }

    /// Takes over bytes that are in memory.
    mutating func append(_ bytes: RawSpan) throws(PackingError) {
        checksum.add(bytes)
        var done = 0
        while done < bytes.byteCount {
            let count = min(bytes.byteCount - done, buffers.outputRoom - waiting)
            buffers.copyToOutput(bytes.extracting(done..<done + count), at: waiting)
            waiting += count
            done += count
            if waiting == buffers.outputRoom {
                let written = waiting
                try flush()
                run.advance(byteCount: written - waiting)
            }
        }
    }

    mutating func append(_ bytes: ArraySlice<UInt8>) throws(PackingError) {
        try append(unsafe bytes.span.bytes)
    }

    mutating func pad(to position: UInt64) throws(PackingError) {
        let count = Int(position - offset) - waiting
        guard count > 0 else { return }
        try append([UInt8](repeating: 0, count: count)[...])
    }

    /// Some rows of a matrix as tiles.
    mutating func appendTiles(
        _ range: Range<Int>, of source: TensorRows, counts: Bool
    ) throws(PackingError) {
        let buffers = buffers
        let format = source.stored.format
        let columns = source.stored.tensor.columns
        let rowBytes = format.rowBytes(columns: columns)
        let tiledBytes = format.tiledBytes(rows: range.count, columns: columns)
        let place = try loadRows(range, of: source, rowBytes: rowBytes, counts: counts)
        buffers.zero(place + range.count * rowBytes..<place + tiledBytes)
        if waiting + tiledBytes > buffers.outputRoom {
            let before = waiting
            try flush()
            run.advance(byteCount: before - waiting)
        }
        buffers.arrange(
            place..<place + tiledBytes, at: waiting, format: format, columns: columns)
        checksum.add(buffers.outputBytes(waiting..<waiting + tiledBytes))
        waiting += tiledBytes
    }

    /// Reads rows of a matrix, side by side.
    ///
    /// - Returns: where in the buffers they are; behind them is room for the rest of a tile.
    private func loadRows(
        _ range: Range<Int>, of source: TensorRows, rowBytes: Int, counts: Bool
    ) throws(PackingError) -> Int {
        let pieces = source.pieces(of: range)
        var gathered = 0
        for piece in pieces {
            let count = piece.rows * rowBytes
            let place = try load(
                source.stored, at: source.byteOffset + piece.tensorRow * rowBytes, count: count,
                counts: counts)
            if pieces.count == 1 { return place }
            buffers.gather(place..<place + count, at: gathered)
            gathered += count
        }
        return buffers.gatheredPlace
    }

    /// Plain numbers of a tensor, as they are.
    mutating func appendFloats(
        _ count: Int, of source: TensorRows
    ) throws(PackingError) {
        let buffers = buffers
        let byteCount = count * WeightFormat.f32.blockBytes
        let place = try load(
            source.stored, at: source.byteOffset, count: byteCount, counts: true)
        try append(buffers.bytes(at: place, count: byteCount))
    }

    /// Reads `count` bytes of a tensor as it is stored.
    ///
    /// - Parameter counts: whether its checksum and its error are to be noted: once for each byte.
    /// - Returns: where in the buffers they are.
    func load(
        _ stored: StoredTensor, at byteOffset: Int, count: Int, counts: Bool
    ) throws(PackingError) -> Int {
        let tensor = stored.tensor
        let start = stored.isRequantized ? stored.sourceBytes(of: byteOffset) : byteOffset
        let sourceCount = stored.isRequantized ? stored.sourceBytes(of: count) : count
        precondition(start + sourceCount <= tensor.byteCount, "plans keep to their tensors")
        let place: Int
        do {
            place = try buffers.read(
                run.parts[tensor.part], at: tensor.offset + UInt64(start), count: sourceCount,
                isRequantized: stored.isRequantized)
        } catch {
            throw .format(error)
        }
        if counts {
            let value = Checksum.of(buffers.bytes(at: place, count: sourceCount))
            run.addSource(tensor, value, at: start, count: sourceCount)
        }
        guard stored.isRequantized else { return place }
        let error = buffers.convert(stored, place..<place + sourceCount, count: count)
        if counts { run.addConversion(tensor, error, at: start) }
        return buffers.rowsPlace
    }
}
