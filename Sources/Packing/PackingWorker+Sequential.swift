// One tensor's bytes into their packed places, which other tensors share: parts of the vectors'
// extent, of experts' bundles and of neurons' records. Their checksums are sums of the parts'.

internal import LinuxSystem
internal import ModelFormat

extension PackingWorker {
    mutating func perform(_ step: SequentialStep) throws(PackingError) {
        try run.checkCancelled()
        switch step {
        case .task(let task): try perform(task)
        case .vector(let index): try writeVector(index)
        case .expert(let entry, let index, let part):
            try writeExpertPart(entry: entry, index: index, part: part)
        case .neuronRows(let layer, let isFirst, let places):
            try writeNeuronRows(layer: layer, isFirst: isFirst, places: places)
        case .neuronColumns(let layer, let rows):
            try writeNeuronColumns(layer: layer, rows: rows)
        }
    }

    private func write(_ bytes: RawSpan, at offset: UInt64) throws(PackingError) {
        do {
            try run.file.write(bytes, at: offset)
        } catch {
            throw .destination(error)
        }
    }

    private mutating func writeVector(_ index: Int) throws(PackingError) {
        let record = run.plan.manifest.vectors
        let place = record.entries[index].byteOffset
        let floats = try widened(run.plan.vectors[index])
        try write(unsafe floats.span.bytes, at: record.extent.offset + UInt64(place))
        let share = ChecksumSum.share(
            of: Checksum.of(floats[...]),
            bytesAfter: record.extent.byteCount - place - floats.count)
        run.set { $0.vectors.extent.checksum ^= share }
        run.advance(byteCount: floats.count)
    }

    private mutating func writeExpertPart(
        entry: Int, index: Int, part: Int
    ) throws(PackingError) {
        let record = run.plan.manifest.experts[entry]
        let source = run.plan.experts[entry][index][part]
        let start = record.extent(index).offset
        let count = record.parts.count
        let kind = [ExpertPart.gate, .up, .down].suffix(count)[3 - count + part % count]
        let matrix = record[kind]
        var place = matrix.byteOffset..<matrix.byteOffset + matrix.byteCount
        if part >= count {
            guard let biases = record.biases(of: kind) else {
                preconditionFailure("biases are planned where they are")
            }
            place = biases
        }
        try beginPart(at: start + UInt64(place.lowerBound))
        if part < count {
            let step = PackedLayout.rowsPerExtent(
                format: matrix.format, rows: matrix.rows, columns: matrix.columns)
            for row in stride(from: 0, to: matrix.rows, by: step) {
                try appendTiles(row..<min(row + step, matrix.rows), of: source, counts: true)
            }
        } else {
            try appendFloats(matrix.rows, of: source)
        }
        let share = ChecksumSum.share(
            of: try endPart(), bytesAfter: record.bundleBytes - place.upperBound)
        run.set { $0.experts[entry].checksums[index] ^= share }
    }

    // MARK: Neurons

    private func neurons(_ layer: Int) -> PackedNeuronLayer {
        guard let record = run.plan.manifest.neurons?[layer] else {
            preconditionFailure("steps are the plan's")
        }
        return record
    }

    /// Writes bytes of one neuron's record, `offset` from the layer's first bundle on.
    private func put(
        _ bytes: RawSpan, at offset: Int, _ record: PackedNeuronLayer, layer: Int
    ) throws(PackingError) {
        try write(bytes, at: record.offset + UInt64(offset))
        let (bundle, place) = offset.quotientAndRemainder(dividingBy: record.bundleBytes)
        let share = ChecksumSum.share(
            of: Checksum.of(bytes), bytesAfter: record.bundleBytes - place - bytes.byteCount)
        run.addNeurons(share, layer: layer, bundle: bundle)
    }

    private func writeNeuronRows(
        layer: Int, isFirst: Bool, places: Range<Int>
    ) throws(PackingError) {
        let record = neurons(layer)
        let sources = run.plan.neurons[layer]
        let stored = isFirst ? sources.first : sources.up
        let rowBytes = stored.format.rowBytes(columns: record.width)
        // What is in matrices, too, counts there.
        let start = try load(
            stored, at: places.lowerBound * rowBytes, count: places.count * rowBytes,
            counts: !isFirst)
        for (index, place) in places.enumerated() {
            try put(
                buffers.bytes(at: start + index * rowBytes, count: rowBytes),
                at: isFirst
                    ? record.firstRowOffset(place: place) : record.restOffset(place: place),
                record, layer: layer)
        }
        run.advance(byteCount: places.count * rowBytes)
        writeOut(places, record)
    }

    private func writeOut(_ places: Range<Int>, _ record: PackedNeuronLayer) {
        let bundles =
            places.lowerBound
            / record.neuronsPerBundle..<(places.upperBound + record.neuronsPerBundle - 1)
            / record.neuronsPerBundle
        run.file.writeOut(
            at: record.offset + UInt64(bundles.lowerBound * record.bundleBytes),
            byteCount: bundles.count * record.bundleBytes)
    }

    /// Turns some rows of a down matrix, and writes each neuron's piece of column.
    private func writeNeuronColumns(layer: Int, rows: Range<Int>) throws(PackingError) {
        let record = neurons(layer)
        let size = run.plan.columnPiece(layer: layer).size
        guard let memory = columns else { preconditionFailure("made for what the plan has") }
        let pieceBytes = record.columnBytes(rows: rows.count)
        let offsets = (0..<record.count).map { $0 * pieceBytes }
        try turn(rows, layer: layer, record, size: size, memory: memory, into: offsets)
        let before = record.columnBytes(rows: rows.lowerBound)
        for (place, offset) in offsets.enumerated() {
            try put(
                memory.bytes(at: offset, byteCount: pieceBytes),
                at: record.columnOffset(place: place) + before, record, layer: layer)
        }
        if let scales = record.scales {
            for block in 0..<record.count / PackedNeuronLayer.neuronsPerScale {
                let first = (block * record.width + rows.lowerBound) * 2
                let bytes = memory.bytes(
                    at: size.scaleOffset + block * record.width * 2, byteCount: rows.count * 2)
                try write(bytes, at: scales.offset + UInt64(first))
                run.addScales(
                    Checksum.of(bytes), layer: layer,
                    bytesAfter: record.scalesBytes - first - bytes.byteCount)
            }
        }
        run.advance(byteCount: record.count * pieceBytes)
        writeOut(0..<record.count, record)
    }

    private func turn(
        _ rows: Range<Int>, layer: Int, _ record: PackedNeuronLayer, size: NeuronPieceSize,
        memory: MemoryArena, into offsets: [Int]
    ) throws(PackingError) {
        let down = run.plan.neurons[layer].down
        let rowBytes = down.byteCount / down.rows
        var error = ConversionError()
        for row in stride(
            from: rows.lowerBound, to: rows.upperBound, by: NeuronPieceSize.rowsTogether)
        {
            let count = min(NeuronPieceSize.rowsTogether, rows.upperBound - row)
            var span = memory.mutableBytes(at: size.sourceOffset, byteCount: count * rowBytes)
            do {
                try run.parts[down.part].read(
                    at: down.offset + UInt64(row * rowBytes), into: &span)
            } catch {
                throw .format(error)
            }
            run.addSource(
                down, Checksum.of(span.bytes), at: row * rowBytes, count: count * rowBytes)
            error.add(
                Columns.turn(
                    down, record, firstRow: row - rows.lowerBound, rows: count,
                    partBytes: rowBytes, skipping: 0, size: size, memory: memory, into: offsets))
        }
        if record.scales == nil, record.down == .q8_0 {
            run.addConversion(down, error, at: rows.lowerBound * rowBytes)
        }
    }
}
