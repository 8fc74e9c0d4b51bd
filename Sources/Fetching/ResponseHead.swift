// The heads of HTTP answers as curl's --include writes them before the body: those of redirects
// first, of which hubs use the headers.

/// What was found in the heads of one answer and of the redirects to it.
struct ResponseHead: Equatable {
    /// Heads longer than this are no heads.
    static let byteCountMax = 64 << 10

    private(set) var status = 0
    private(set) var contentLength: UInt64?
    /// The first byte and the number of all, of an answer with a part.
    private(set) var rangeStart: UInt64?
    private(set) var rangeTotal: UInt64?
    private(set) var entityTag: String?
    /// What a hub says of the file that it redirects to.
    private(set) var linkedTag: String?
    /// Seconds, or a date, before which the server does not want to be asked again.
    private(set) var retryAfter: String?

    /// Parses the heads at the beginning of `bytes`.
    ///
    /// - Returns: the answer's head and where its body begins; nil while more must come.
    /// - Throws: ``Malformed`` where there is no head.
    static func parse(
        _ bytes: [UInt8]
    ) throws(Malformed) -> (head: ResponseHead, bodyStart: Int)? {
        var head = ResponseHead()
        var start = 0
        while let end = endOfHead(bytes, from: start) {
            let isFinal = try head.take(String(decoding: bytes[start..<end], as: UTF8.self))
            start = end
            if isFinal { return (head, start) }
        }
        if bytes.count > byteCountMax { throw Malformed() }
        return nil
    }

    struct Malformed: Error {}

    /// Just behind the empty line.
    private static func endOfHead(_ bytes: [UInt8], from start: Int) -> Int? {
        let newline = UInt8(ascii: "\n")
        var lineStart = start
        while let end = bytes[lineStart...].firstIndex(of: newline) {
            let line = bytes[lineStart..<end]
            if line.isEmpty || line.elementsEqual([UInt8(ascii: "\r")]) { return end + 1 }
            lineStart = end + 1
        }
        return nil
    }

    /// - Returns: whether the body follows, and no other head.
    private mutating func take(_ text: String) throws(Malformed) -> Bool {
        let lines = text.split { $0.isNewline }
        let words = (lines.first ?? "").split(separator: " ")
        guard let first = words.first, first.hasPrefix("HTTP/"), words.count > 1,
            let status = Int(words[1])
        else { throw Malformed() }
        self.status = status
        (contentLength, rangeStart, rangeTotal, entityTag) = (nil, nil, nil, nil)
        retryAfter = nil
        var redirects = false
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = String(line[line.index(after: colon)...]).trimmed
            switch line[..<colon].lowercased() {
            case "content-length": contentLength = UInt64(value)
            case "content-range": takeRange(value)
            case "etag": entityTag = value
            case "x-linked-etag": linkedTag = value
            case "retry-after": retryAfter = value
            case "location": redirects = true
            default: break
            }
        }
        return status >= 200 && !((300..<400).contains(status) && redirects)
    }

    /// `bytes 100-199/200`, `bytes 100-199/*` or `bytes */200`.
    private mutating func takeRange(_ value: String) {
        let pieces = value.split { " -/".contains($0) }
        guard pieces.first?.lowercased() == "bytes" else { return }
        if pieces.count == 4 { rangeStart = UInt64(pieces[1]) }
        rangeTotal = pieces.last.flatMap { UInt64($0) }
    }
}

extension String {
    fileprivate var trimmed: String {
        String(
            self.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }
                .reversed())
    }
}

extension ResponseHead {
    /// The SHA-256 that a hub gives: a tag of 64 hexadecimal digits, in lower case.
    func digest(trustsTag: Bool) -> String? {
        [linkedTag, trustsTag ? entityTag : nil].lazy.compactMap { tag in
            let digits = (tag ?? "").filter { $0 != "\"" }.lowercased()
            let isDigest = digits.utf8.count == 64 && digits.allSatisfy { $0.isHexDigit }
            return isDigest ? digits : nil
        }.first
    }
}
