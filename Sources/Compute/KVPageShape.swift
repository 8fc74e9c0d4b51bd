// Bytes of a page of the KV cache; the arithmetic is the kernels' own.

internal import CKernels
package import ModelFormat

/// What one layer's page of 64 tokens holds: each head's keys, then each head's values, as
/// ckernels.h lays them out.
package struct KVPageShape: Sendable, Equatable {
    package let format: KVFormat
    package let headCount: Int
    package let keyHeadWidth: Int
    package let valueHeadWidth: Int

    package init(format: KVFormat, headCount: Int, keyHeadWidth: Int, valueHeadWidth: Int) {
        self.format = format
        self.headCount = headCount
        self.keyHeadWidth = keyHeadWidth
        self.valueHeadWidth = valueHeadWidth
    }

    /// Bytes of one head's keys, steps and minima included.
    package var keyBytes: Int { ckernels_key_bytes(format.keys.rawValue, keyHeadWidth) }

    /// Bytes of one head's values, steps and minima included.
    package var valueBytes: Int { ckernels_value_bytes(format.values.rawValue, valueHeadWidth) }

    package var byteCount: Int { headCount * (keyBytes + valueBytes) }

    /// Bytes that a page's offset is a multiple of.
    package var alignment: Int { format == KVFormat(.half) ? 2 : 4 }

    /// The page that a sequence is still filling, where this format takes whole pages only.
    package var open: Self {
        Self(
            format: KVFormat(.half), headCount: headCount, keyHeadWidth: keyHeadWidth,
            valueHeadWidth: valueHeadWidth)
    }
}

/// A page in halves that stands for one whose format takes whole pages only.
package struct OpenPage: Sendable, Equatable {
    /// Its number in the sequence: that of its first position's 64.
    package let index: Int
    /// The byte in the pool where it starts.
    package let offset: Int

    package init(index: Int, offset: Int) {
        self.index = index
        self.offset = offset
    }
}

/// The pages of a sequence, as kernels find them: checked when a call begins.
struct PagePlaces {
    let shape: KVPageShape
    let open: OpenPage?

    /// Where a page starts, and how it is laid out.
    func place(_ index: Int, offset: Int) -> (offset: Int, shape: KVPageShape) {
        guard let open, open.index == index else { return (offset, shape) }
        return (open.offset, shape.open)
    }

    /// That pages lie in a pool of `byteCount` bytes; and that tokens which are new lie in the open
    /// page, where the format takes whole pages only; nil where none of them is there.
    func check(_ pages: ClosedRange<Int>, new: Int?, offsets: Span<Int>, byteCount: Int) {
        if shape.format.takesWholePages, let new {
            precondition(open?.index == new && new == pages.upperBound)
        }
        for index in pages {
            let (offset, shape) = place(index, offset: offsets[index])
            precondition(offset >= 0 && offset + shape.byteCount <= byteCount)
            precondition(offset % shape.alignment == 0)
        }
    }
}
