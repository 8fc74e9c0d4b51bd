// Makes neuron bundles, a piece of a layer at a time: rows are put in place as they are, the down
// matrix is turned, 32 of its rows at a time, into columns. Reading part of each row is reading in
// strides, so this goes through the page cache, which is asked to forget the matrix at its end.

internal import LinuxSystem
internal import ModelFormat

extension PackingWorker {
    /// One piece of a layer's bundles, with a checksum for each bundle.
    mutating func writeNeurons(layer: Int, piece: Int) throws(PackingError) {
        guard let record = run.plan.manifest.neurons?[layer], let size = run.plan.neuronPiece
        else { preconditionFailure("tasks are the plan's") }
        try run.checkCancelled()
        let step = PackingPlan.bundlesPerPiece(record)
        let bundles = piece * step..<min((piece + 1) * step, record.bundleCount)
        let builder = NeuronPiece(
            record: record, sources: run.plan.neurons[layer], bundles: bundles, size: size,
            memory: buffers.neurons, run: run)
        builder.zero()
        if record.firstBytes > 0 {
            try placeRows(builder, of: builder.sources.first, counts: false) {
                record.firstRowOffset(place: $0)
            }
        }
        if record.gate != nil {
            try placeRows(builder, of: builder.sources.up, counts: true) {
                record.restOffset(place: $0)
            }
        }
        try builder.placeColumns()
        run.setNeuronChecksums(builder.checksums(), layer: layer, from: bundles.lowerBound)
        do {
            try run.file.writePages(
                builder.bytes, at: record.offset + UInt64(bundles.lowerBound * record.bundleBytes))
        } catch {
            throw .destination(error)
        }
        run.advance(byteCount: bundles.count * record.bundleBytes)
    }

    /// Puts the piece's rows of a matrix where `offset` says for each place.
    private func placeRows(
        _ piece: NeuronPiece, of stored: StoredTensor, counts: Bool, _ offset: (Int) -> Int
    ) throws(PackingError) {
        let rowBytes = stored.format.rowBytes(columns: piece.record.width)
        let step = max(1, PackedLayout.extentBytesMax / rowBytes)
        let places = piece.places
        for first in stride(from: places.lowerBound, to: places.upperBound, by: step) {
            let count = min(step, places.upperBound - first)
            let start = try load(
                stored, at: first * rowBytes, count: count * rowBytes, counts: counts)
            for index in 0..<count {
                piece.put(
                    buffers.bytes(at: start + index * rowBytes, count: rowBytes),
                    at: offset(first + index))
            }
        }
    }

    /// The small extents beside each layer's bundles: checksums, and each neuron's place, which is
    /// its number.
    mutating func writeNeuronDirectories() throws(PackingError) {
        for (index, record) in (run.plan.manifest.neurons ?? []).enumerated() {
            let checksums = run.neuronChecksums(layer: index).flatMap(\.littleEndianBytes)
            let places = (0..<record.count).flatMap { UInt32($0).littleEndianBytes }
            let first = try writeExtent(at: record.checksums.offset) {
                worker throws(PackingError) in try worker.append(checksums[...])
            }
            let second = try writeExtent(at: record.places.offset) {
                worker throws(PackingError) in try worker.append(places[...])
            }
            precondition(
                first.byteCount == record.checksums.byteCount
                    && second.byteCount == record.places.byteCount, "planned sizes are written")
            let scales = run.scalesChecksum(layer: index)
            run.set {
                $0.neurons?[index].checksums = first
                $0.neurons?[index].places = second
                $0.neurons?[index].scales?.checksum = scales
            }
        }
    }
}

/// Some bundles of a layer in memory.
private struct NeuronPiece {
    let record: PackedNeuronLayer
    let sources: NeuronSources
    let bundles: Range<Int>
    let size: NeuronPieceSize
    let memory: MemoryArena
    let run: PackingRun

    /// Of the file's bundles, the byte that the piece begins with.
    private var start: Int { bundles.lowerBound * record.bundleBytes }
    private var byteCount: Int { bundles.count * record.bundleBytes }

    var places: Range<Int> {
        let last = record.places(ofBundle: bundles.upperBound - 1)
        return record.places(ofBundle: bundles.lowerBound).lowerBound..<last.upperBound
    }

    var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            unsafe _overrideLifetime(
                memory.bytes(at: 0, byteCount: byteCount), borrowing: self)
        }
    }

    func zero() {
        var span = memory.mutableBytes(at: 0, byteCount: byteCount)
        unsafe span.withUnsafeMutableBytes { bytes in
            _ = unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    /// Copies bytes to a place, counted from the layer's first bundle on.
    func put(_ row: RawSpan, at offset: Int) {
        var span = memory.mutableBytes(at: offset - start, byteCount: row.byteCount)
        unsafe span.withUnsafeMutableBytes { target in
            unsafe row.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
        }
    }

    func checksums() -> [UInt32] {
        (0..<bundles.count).map { index in
            Checksum.of(
                bytes.extracting(index * record.bundleBytes..<(index + 1) * record.bundleBytes))
        }
    }

    /// Turns the down matrix: row by row, the part of it that belongs to this piece.
    func placeColumns() throws(PackingError) {
        let (down, places) = (sources.down, places)
        let type = down.type
        let block = type.blockElements
        let first = places.lowerBound / block
        let end = (places.upperBound + block - 1) / block
        let partBytes = (end - first) * type.blockBytes
        let rowBytes = down.byteCount / down.rows
        // Blocks that two pieces share count in the one that has their first number.
        let counted = (places.lowerBound + block - 1) / block..<end
        var checksum = StridedChecksum(rowBytes: rowBytes)
        var error = ConversionError()
        let together = NeuronPieceSize.rowsTogether
        let offsets = places.map { record.columnOffset(place: $0) - start }
        for row in stride(from: 0, to: down.rows, by: together) {
            let rows = min(together, down.rows - row)
            for index in 0..<rows {
                var part = memory.mutableBytes(
                    at: size.sourceOffset + index * partBytes, byteCount: partBytes)
                let offset = (row + index) * rowBytes + first * type.blockBytes
                do {
                    try run.parts[down.part].read(at: down.offset + UInt64(offset), into: &part)
                } catch {
                    throw .format(error)
                }
                let skipped = (counted.lowerBound - first) * type.blockBytes
                checksum.add(Checksum.of(part.bytes.extracting(skipped..<partBytes)))
            }
            error.add(
                Columns.turn(
                    down, record, firstRow: row, rows: rows, partBytes: partBytes,
                    skipping: places.lowerBound - first * block, size: size, memory: memory,
                    into: offsets))
        }
        run.addSource(down, checksum.value(bytesAfterLast: rowBytes - end * type.blockBytes))
        if let scales = record.scales {
            try writeScales(counted, at: scales.offset, skipping: counted.lowerBound - first)
        } else if record.down == .q8_0 {
            run.addConversion(down, error, at: places.lowerBound)
        }
        if places.upperBound == record.count { forget(down) }
    }

    /// The scales of some blocks of neurons, those that count in this piece.
    private func writeScales(
        _ blocks: Range<Int>, at start: UInt64, skipping: Int
    ) throws(PackingError) {
        let rowBytes = record.width * 2
        let bytes = memory.bytes(
            at: size.scaleOffset + skipping * rowBytes, byteCount: blocks.count * rowBytes)
        let end = record.scalesBytes - blocks.upperBound * rowBytes
        run.addScales(Checksum.of(bytes), layer: record.layer, bytesAfter: end)
        do {
            try run.file.write(bytes, at: start + UInt64(blocks.lowerBound * rowBytes))
        } catch {
            throw .destination(error)
        }
    }

    /// Other pieces may still read the matrix; from the disk then.
    private func forget(_ tensor: GGUFTensor) {
        guard let file = run.parts[tensor.part] as? FileByteSource else { return }
        file.forgetPages(at: tensor.offset, count: UInt64(tensor.byteCount))
    }
}
