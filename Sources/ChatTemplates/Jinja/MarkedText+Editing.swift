// What Python does with texts, keeping marks: trimming, slicing, replacing, splitting.

extension MarkedText {
    enum Side { case both, start, end }

    /// Without the characters of `set` at its ends; nil is white space.
    func trimmed(_ set: MarkedText? = nil, _ side: Side = .both) -> MarkedText {
        let members = set.map { Set($0.string.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool {
            members.map { $0.contains(scalar) } ?? Self.isSpace(scalar)
        }
        var start = 0
        var end = count
        if side != .end {
            while start < end, goes(scalar(at: start)) { start = scalarEnd(start) }
        }
        if side != .start {
            while end > start {
                let last = scalarStart(before: end)
                guard goes(scalar(at: last)) else { break }
                end = last
            }
        }
        return slice(start..<end)
    }

    /// The characters that a Python slice of `indices` picks.
    func picked(_ indices: JinjaSlice) -> MarkedText {
        let offsets = scalarOffsets
        let places = indices.places(count: offsets.count)
        if indices.step == 1 {
            guard let first = places.first, let last = places.last else {
                return slice(0..<0)
            }
            return slice(offsets[first]..<scalarEnd(offsets[last]))
        }
        var result = MarkedText()
        for place in places { result.append(self, offsets[place]..<scalarEnd(offsets[place])) }
        return result
    }

    /// - Parameter countMax: replacements at most; negative is all.
    func replacing(
        _ old: MarkedText, with new: MarkedText, countMax: Int = -1
    ) -> MarkedText {
        var result = MarkedText()
        result.isMarkup = isMarkup
        var left = countMax < 0 ? Int.max : countMax
        var start = 0
        if old.isEmpty {
            // Between all characters.
            while left > 0 {
                result.append(new)
                left -= 1
                guard start < count else { return result }
                let end = scalarEnd(start)
                result.append(self, start..<end)
                start = end
            }
        }
        while left > 0, let found = find(old, from: start) {
            result.append(self, start..<found)
            result.append(new)
            start = found + old.count
            left -= 1
        }
        result.append(self, start..<count)
        return result
    }

    /// Parts between `separator`, which is not empty; `splitsMax` cuts at most, negative is all.
    func split(_ separator: MarkedText, splitsMax: Int = -1, fromEnd: Bool = false) -> [MarkedText]
    {
        var parts: [MarkedText] = []
        var left = splitsMax < 0 ? Int.max : splitsMax
        if fromEnd {
            var end = count
            while left > 0, let found = findLast(separator, before: end) {
                parts.append(slice(found + separator.count..<end))
                end = found
                left -= 1
            }
            parts.append(slice(0..<end))
            return parts.reversed()
        }
        var start = 0
        while left > 0, let found = find(separator, from: start) {
            parts.append(slice(start..<found))
            start = found + separator.count
            left -= 1
        }
        parts.append(slice(start..<count))
        return parts
    }

    /// Parts between white space, none empty.
    func words(splitsMax: Int = -1) -> [MarkedText] {
        var parts: [MarkedText] = []
        var rest = trimmed(nil, .start)
        while !rest.isEmpty {
            var end = 0
            if splitsMax >= 0, parts.count == splitsMax {
                parts.append(rest)
                break
            }
            while end < rest.count, !Self.isSpace(rest.scalar(at: end)) {
                end = rest.scalarEnd(end)
            }
            parts.append(rest.slice(0..<end))
            var next = end
            while next < rest.count, Self.isSpace(rest.scalar(at: next)) {
                next = rest.scalarEnd(next)
            }
            rest = rest.slice(next..<rest.count)
        }
        return parts
    }

    /// Lines without their ends, as Python's `splitlines`.
    func lines(keepingEnds: Bool = false) -> [MarkedText] {
        var lines: [MarkedText] = []
        var start = 0
        var offset = 0
        while offset < count {
            var next = scalarEnd(offset)
            switch scalar(at: offset).value {
            case 0x0D where next < count && bytes[next] == 0x0A:
                next += 1
                fallthrough
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                lines.append(slice(start..<(keepingEnds ? next : offset)))
                start = next
            default: break
            }
            offset = next
        }
        if start < count { lines.append(slice(start..<count)) }
        return lines
    }

    /// With HTML's special characters written out.
    var escapedForHTML: MarkedText {
        guard !isMarkup else { return self }
        var result = mapped { scalar, _ in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "'": "&#39;"
            case "\"": "&#34;"
            default: String(scalar)
            }
        }
        result.isMarkup = true
        return result
    }

    /// Python's `+`: where one is `safe`, the other is escaped.
    static func + (left: MarkedText, right: MarkedText) -> MarkedText {
        let isMarkup = left.isMarkup || right.isMarkup
        var result = isMarkup ? left.escapedForHTML : left
        result.append(isMarkup ? right.escapedForHTML : right)
        result.isMarkup = isMarkup
        return result
    }

    var uppercased: MarkedText { mapped { scalar, _ in scalar.properties.uppercaseMapping } }

    var lowercased: MarkedText {
        mapped { scalar, offset in
            scalar == "\u{3A3}" && isFinalSigma(offset) ? "\u{3C2}" : scalar.lowercase
        }
    }

    private func isFinalSigma(_ offset: Int) -> Bool {
        func isCased(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isCased }
        func isIgnored(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isCaseIgnorable }
        var before = offset
        while before > 0 {
            before = scalarStart(before: before)
            if !isIgnored(scalar(at: before)) { break }
        }
        guard before < offset, isCased(scalar(at: before)), !isIgnored(scalar(at: before)) else {
            return false
        }
        var after = scalarEnd(offset)
        while after < count, isIgnored(scalar(at: after)) { after = scalarEnd(after) }
        return after >= count || !isCased(scalar(at: after))
    }

    var capitalized: MarkedText {
        mapped { scalar, offset in
            offset == 0 ? scalar.properties.titlecaseMapping : scalar.lowercase
        }
    }

    /// Python's `str.title`: a capital after what is no letter.
    var titled: MarkedText {
        var followsLetter = false
        return mapped { scalar, _ in
            defer { followsLetter = scalar.properties.isCased }
            return followsLetter ? scalar.lowercase : scalar.properties.titlecaseMapping
        }
    }
}

extension Unicode.Scalar {
    fileprivate var lowercase: String { properties.lowercaseMapping }
}

/// A Python slice.
struct JinjaSlice {
    var start: Int?
    var stop: Int?
    var step: Int

    /// The places that it picks of `count`.
    func places(count: Int) -> [Int] {
        func clamped(_ index: Int, _ low: Int, _ high: Int) -> Int {
            let place = index < 0 ? index.addingReportingOverflow(count).partialValue : index
            return min(max(place, low), high)
        }
        if step > 0 {
            let first = start.map { clamped($0, 0, count) } ?? 0
            let end = stop.map { clamped($0, 0, count) } ?? count
            return first < end ? Array(Swift.stride(from: first, to: end, by: step)) : []
        }
        let first = start.map { clamped($0, -1, count - 1) } ?? count - 1
        let end = stop.map { clamped($0, -1, count - 1) } ?? -1
        return first > end ? Array(Swift.stride(from: first, to: end, by: step)) : []
    }
}
