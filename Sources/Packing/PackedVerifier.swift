// Reads a packed file from front to back and compares every checksum: what `import` can be checked
// with, and what tells a damaged disk from a wrong program.

package import ModelFormat

/// Verifies whole packed files.
package enum PackedVerifier {
    /// Reads and checks every extent of `model`, the vocabulary's contents included, in file order.
    ///
    /// - Parameters:
    ///   - progress: called with the bytes verified so far and the bytes in all.
    ///   - isCancelled: asked before every extent; true ends it.
    /// - Returns: whether it came to the end.
    /// - Throws: `FormatError` naming the first extent that is not as it was written.
    @discardableResult
    package static func verify(
        _ model: PackedModel, source: any ByteSource,
        progress: (PackingProgress) -> Void = { _ in },
        isCancelled: @escaping () -> Bool = { false }
    ) throws(FormatError) -> Bool {
        let manifest = model.manifest
        var verifier = Verification(model: model, source: source, isCancelled: isCancelled)
        _ = try model.vocabulary(from: source)
        for table in RowTable.allCases { try verifier.verifyRows(of: table) }
        try verifier.verify(manifest.vectors.extent, "the vectors")
        for matrix in manifest.matrices {
            for index in 0..<matrix.extentCount where !isCancelled() {
                let extent = matrix.extent(index).extent
                try verifier.verify(extent, matrix.name)
                progress(verifier.progress(at: extent.offset))
            }
        }
        for layer in manifest.experts {
            for index in 0..<layer.count where !isCancelled() {
                let extent = layer.extent(index)
                try verifier.verify(extent, "expert \(index) of layer \(layer.layer)")
                progress(verifier.progress(at: extent.offset))
            }
        }
        for layer in manifest.neurons ?? [] {
            try verifier.verifyNeurons(layer)
            progress(verifier.progress(at: layer.offset))
        }
        guard !isCancelled() else { return false }
        progress(
            PackingProgress(bytesDone: model.fileByteCount, bytesTotal: model.fileByteCount))
        return true
    }

    private struct Verification {
        let model: PackedModel
        let source: any ByteSource
        let isCancelled: () -> Bool
        private static let pieceBytes = 1 << 20

        func progress(at offset: UInt64) -> PackingProgress {
            PackingProgress(bytesDone: offset, bytesTotal: model.fileByteCount)
        }

        /// In pieces: a bundle may be larger than memory should hold.
        mutating func verify(_ extent: PackedExtent, _ what: String) throws(FormatError) {
            var checksum = Checksum()
            var done = 0
            while done < extent.byteCount {
                let count = min(Self.pieceBytes, extent.byteCount - done)
                let piece = try source.packedBytes(
                    at: extent.offset + UInt64(done), count: count)
                checksum.add(piece[...])
                done += count
            }
            try PackedModel.verify(checksum.value, extent, file: model.fileName, what)
        }

        mutating func verifyNeurons(_ layer: PackedNeuronLayer) throws(FormatError) {
            let checksums = try model.neuronChecksums(layer, from: source)
            _ = try model.neuronPlaces(layer, from: source)
            if let scales = layer.scales { try verify(scales, "the scales of the \(layer.name)") }
            for bundle in 0..<layer.bundleCount where !isCancelled() {
                let what = "bundle \(bundle) of the \(layer.name)"
                try verify(layer.extent(bundle: bundle, checksums: checksums), what)
            }
        }

        mutating func verifyRows(of table: RowTable) throws(FormatError) {
            guard let rows = model.manifest[table] else { return }
            let checksums = try model.checksums(of: table, from: source)
            let page = PackedLayout.alignment
            let pages = Self.pieceBytes / page
            for first in stride(from: 0, to: rows.pageCount, by: pages) where !isCancelled() {
                let count = min(pages, rows.pageCount - first)
                let offset = rows.offset + UInt64(first * page)
                let piece = try source.packedBytes(at: offset, count: count * page)
                for index in 0..<count {
                    let extent = PackedExtent(
                        offset: offset + UInt64(index * page), byteCount: page,
                        checksum: checksums[first + index])
                    try PackedModel.verify(
                        Checksum.of(piece[(index * page)..<((index + 1) * page)]), extent,
                        file: model.fileName, "the \(table.name)")
                }
            }
        }
    }
}
