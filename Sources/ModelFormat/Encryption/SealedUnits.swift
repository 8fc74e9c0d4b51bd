// What of an encrypted packed file is encrypted as one, and authenticated by one tag. Follows from
// the manifest alone: what is read as one is a unit.

internal import LinuxSystem

/// Units of one size at one stride.
private struct SealedRegion {
    let offset: UInt64
    let stride: Int
    /// Of every unit but the last.
    let unitBytes: Int
    let lastBytes: Int
    let count: Int
    /// The number of its first unit.
    var first = 0

    var end: UInt64 { offset + UInt64((count - 1) * stride + lastBytes) }
}

/// A file's units, numbered from front to back.
package struct SealedUnits: Sendable {
    package struct Unit: Sendable, Equatable {
        package let index: Int
        package let offset: UInt64
        package let byteCount: Int

        package var end: UInt64 { offset + UInt64(byteCount) }
    }

    /// What nobody reads whole is encrypted in pieces of this many bytes.
    private static let pieceBytes = 64 << 10

    private let regions: [SealedRegion]
    package let count: Int

    /// - Throws: `FormatError` when extents lie over each other, or are too many.
    package init(_ manifest: PackedManifest, file: String) throws(FormatError) {
        var regions = Self.regions(manifest).sorted { $0.offset < $1.offset }
        var (count, end) = (0, UInt64(PackedLayout.headerBytes))
        for index in regions.indices {
            guard regions[index].offset >= end else {
                throw FormatError(
                    file: file, offset: regions[index].offset,
                    expected: "extents after each other in an encrypted file",
                    found: "one that begins before \(end)")
            }
            end = regions[index].end
            regions[index].first = count
            count += regions[index].count
        }
        guard count <= PackedLimits.sealedUnitsMax else {
            throw FormatError(
                file: file, expected: "at most \(PackedLimits.sealedUnitsMax) encrypted units",
                found: "\(count)")
        }
        self.regions = regions
        self.count = count
    }

    private static func regions(_ manifest: PackedManifest) -> [SealedRegion] {
        var extents = [manifest.vocabulary, manifest.vectors.extent]
        var regions: [SealedRegion] = []
        for table in manifest.rowTables {
            guard let rows = manifest[table] else { continue }
            extents.append(rows.pageChecksums)
            regions.append(pages(at: rows.offset, count: rows.pageCount))
        }
        let tied = manifest.embeddings.rowsPerExtent == nil ? nil : manifest.embeddings.offset
        for matrix in manifest.matrices where matrix.role != .output || matrix.offset != tied {
            let last = matrix.extent(matrix.extentCount - 1)
            regions.append(
                SealedRegion(
                    offset: matrix.offset, stride: matrix.stride,
                    unitBytes: matrix.extent(0).byteCount, lastBytes: last.byteCount,
                    count: matrix.extentCount))
        }
        for layer in manifest.experts {
            regions.append(
                SealedRegion(
                    offset: layer.offset, stride: layer.stride, unitBytes: layer.bundleBytes,
                    lastBytes: layer.bundleBytes, count: layer.count))
        }
        for layer in manifest.neurons ?? [] {
            extents += [layer.checksums, layer.places] + (layer.scales.map { [$0] } ?? [])
            regions.append(
                SealedRegion(
                    offset: layer.offset, stride: layer.bundleBytes, unitBytes: layer.bundleBytes,
                    lastBytes: layer.bundleBytes, count: layer.bundleCount))
        }
        return regions + extents.compactMap(pieces)
    }

    /// Rows are looked up by the page.
    private static func pages(at offset: UInt64, count: Int) -> SealedRegion {
        let page = PackedLayout.alignment
        return SealedRegion(
            offset: offset, stride: page, unitBytes: page, lastBytes: page, count: count)
    }

    private static func pieces(_ extent: PackedExtent) -> SealedRegion? {
        guard extent.byteCount > 0 else { return nil }
        let count = (extent.byteCount + pieceBytes - 1) / pieceBytes
        let last = extent.byteCount - (count - 1) * pieceBytes
        return SealedRegion(
            offset: extent.offset, stride: pieceBytes,
            unitBytes: count == 1 ? last : pieceBytes, lastBytes: last, count: count)
    }

    /// The first unit that ends after `offset`; nil is behind all.
    package func unit(endingAfter offset: UInt64) -> Unit? {
        var (low, high) = (0, regions.count)
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        guard low < regions.count else { return nil }
        let region = regions[low]
        guard offset > region.offset else { return unit(region, 0) }
        let number = Int((offset - region.offset) / UInt64(region.stride))
        let found = unit(region, number)
        if offset < found.end { return found }
        return unit(region, number + 1)
    }

    private func unit(_ region: SealedRegion, _ number: Int) -> Unit {
        Unit(
            index: region.first + number,
            offset: region.offset + UInt64(number * region.stride),
            byteCount: number == region.count - 1 ? region.lastBytes : region.unitBytes)
    }
}
