// Packing what arrives front to back: every tensor goes to its places as its bytes come by, so that
// nothing but the packed file is ever on the drive.

internal import ModelFormat

extension Packer {
    /// Does all steps in the source's order.
    ///
    /// - Parameters:
    ///   - consumption: frees what is done of the source; its steps may be done in part.
    ///   - resumption: records what is done, which may be some already.
    func performSteps(
        _ streams: [SequentialSource], consumption: Consumption?, resumption: Resumption?,
        fingerprint: UInt64, _ worker: inout PackingWorker
    ) throws(PackingError) {
        let steps = SequentialSteps(plan)
        let tensors = gguf.tensors.sorted { ($0.part, $0.offset) < ($1.part, $1.offset) }
        let lookBehind = steps.lookBehind(tensors)
        for (index, stream) in streams.enumerated() {
            let first = tensors.first { $0.part == index }
            stream.beginData(at: first?.offset ?? stream.byteCount, lookBehind: lookBehind)
        }
        var done = 0
        if let consumption {
            done = try consumption.resume(worker.run, fingerprint: fingerprint)
        } else if let resumption {
            done = try resumption.resume(worker.run, streams)
        }
        if done == 0 { worker.run.addPaddings() }
        var (index, waiting) = (0, 0)
        for tensor in tensors {
            for step in steps.steps(of: tensor) {
                defer { index += 1 }
                if index < done { continue }
                let place = tensor.offset + UInt64(step.bytes.lowerBound)
                if let consumption, consumption.isDue(waiting) {
                    try consumption.free(
                        worker.run, fingerprint: fingerprint, stepsDone: index, before: place,
                        part: tensor.part)
                    waiting = 0
                }
                if let resumption, resumption.isDue(waiting) {
                    try resumption.save(
                        worker.run, fingerprint: fingerprint, stepsDone: index, streams,
                        part: tensor.part, place: place)
                    waiting = 0
                }
                try worker.perform(step.step)
                waiting += step.bytes.count
            }
        }
        guard !streams.isEmpty else { return }
        var byteCount: UInt64 = 0
        for stream in streams {
            byteCount += try fromSource { () throws(FormatError) in try stream.finish() }
        }
        worker.run.set { $0.source.byteCount = byteCount }
    }
}

extension PackingPlan {
    /// Bytes of finished columns that wait in memory: with more, each neuron's bundle is written to
    /// less often.
    private static let columnPieceBytes = 24 << 20

    /// Rows of a layer's down matrix that are turned before their columns are written, and what
    /// that takes.
    func columnPiece(layer: Int) -> (rows: Int, size: NeuronPieceSize) {
        guard let record = manifest.neurons?[layer] else {
            preconditionFailure("a layer with neurons")
        }
        let together = NeuronPieceSize.rowsTogether
        let columnBytes = record.columnBytes(rows: together)
        let steps = max(1, Self.columnPieceBytes / (columnBytes * record.count))
        let all = (record.width + together - 1) / together
        let rows = min(steps, all) * together
        let down = neurons[layer].down
        return (
            rows,
            NeuronPieceSize(
                bundleBytes: record.count * record.columnBytes(rows: rows),
                sourceBytes: together * (down.byteCount / down.rows),
                floatCount: together * record.count,
                scaleBytes: record.scales == nil ? 0 : record.scalesBytes)
        )
    }

    /// What the greatest such piece takes.
    var columnBytesMax: Int {
        neurons.indices.map { columnPiece(layer: $0).size.byteCount }.max() ?? 0
    }
}

extension PackedNeuronLayer {
    /// Bytes of a column's first `rows` elements, whole blocks.
    func columnBytes(rows: Int) -> Int {
        scales == nil ? down.rowBytes(columns: rows) : rows
    }
}

extension PackingRun {
    /// Adds the zeros between parts to the checksums of what is put together from them.
    func addPaddings() {
        func share(_ gap: Range<Int>, of byteCount: Int) -> UInt32 {
            let zeros = [UInt8](repeating: 0, count: gap.count)
            return ChecksumSum.share(
                of: Checksum.of(zeros[...]), bytesAfter: byteCount - gap.upperBound)
        }
        var end = 0
        let vectors = plan.manifest.vectors
        var vectorShare: UInt32 = 0
        for entry in vectors.entries {
            vectorShare ^= share(end..<entry.byteOffset, of: vectors.extent.byteCount)
            end = entry.byteOffset + entry.count * MemoryLayout<Float>.stride
        }
        set { $0.vectors.extent.checksum ^= vectorShare }
        for (entry, record) in plan.manifest.experts.enumerated() {
            var value: UInt32 = 0
            var end = 0
            for part in record.parts {
                value ^= share(end..<part.byteOffset, of: record.bundleBytes)
                end = part.byteOffset + part.byteCount
            }
            value ^= share(end..<(record.biasOffset ?? end), of: record.bundleBytes)
            set { manifest in
                for index in 0..<record.count { manifest.experts[entry].checksums[index] ^= value }
            }
        }
        for (layer, record) in (plan.manifest.neurons ?? []).enumerated() {
            let whole = share(
                record.neuronsPerBundle * record.recordBytes..<record.bundleBytes,
                of: record.bundleBytes)
            let last = record.places(ofBundle: record.bundleCount - 1).count * record.recordBytes
            for bundle in 0..<record.bundleCount - 1 {
                addNeurons(whole, layer: layer, bundle: bundle)
            }
            addNeurons(
                share(last..<record.bundleBytes, of: record.bundleBytes), layer: layer,
                bundle: record.bundleCount - 1)
        }
    }
}
