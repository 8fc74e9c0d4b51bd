// Where spans begin, for calls into C. A span keeps its memory in place as long as it lives: use
// the pointers only while the span, or what it was borrowed from, is there.

extension Span {
    /// - Precondition: the span is not empty.
    @unsafe
    var start: UnsafePointer<Element> { unsafe withUnsafeBufferPointer { $0.baseAddress! } }
}

extension MutableSpan {
    /// - Precondition: the span is not empty.
    @unsafe
    var start: UnsafeMutablePointer<Element> {
        mutating get { unsafe withUnsafeMutableBufferPointer { $0.baseAddress! } }
    }
}

extension RawSpan {
    /// - Precondition: the span is not empty.
    @unsafe
    var start: UnsafePointer<UInt8> {
        unsafe withUnsafeBytes { unsafe $0.baseAddress!.assumingMemoryBound(to: UInt8.self) }
    }
}

extension MutableRawSpan {
    /// - Precondition: the span is not empty.
    @unsafe
    var start: UnsafeMutablePointer<UInt8> {
        mutating get {
            unsafe withUnsafeMutableBytes {
                unsafe $0.baseAddress!.assumingMemoryBound(to: UInt8.self)
            }
        }
    }
}
