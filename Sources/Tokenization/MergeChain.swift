// Repeated merging of the best adjacent pair, which byte-level BPE and SentencePiece share. A heap
// of candidates over a linked list of symbols: n log n for n bytes, whatever the text.

/// Which neighbours may merge, and into what.
protocol MergeRules {
    /// How soon the neighbours at `range` of the text merge (lowest first), or nil for never.
    func priority(left: Int32, right: Int32, range: Range<Int>) -> UInt32?
    /// What the neighbours at `range` become, given the priority that they merged with.
    func merged(priority: UInt32, range: Range<Int>) -> Int32
}

/// One word's symbols. Storage is reused from word to word.
struct MergeChain {
    /// A symbol lives at its first byte's index; the entries inside it are dead.
    private struct Link {
        var symbol: Int32
        /// First byte of the next symbol: the end of this one.
        var next: Int32
        /// First byte of the previous symbol, or -1.
        var previous: Int32
    }

    private struct Candidate {
        /// Priority, then the left symbol's position: what is popped first is lowest.
        var key: UInt64
        var right: Int32
        /// The right symbol when this was pushed; another one now means that this is outdated. The
        /// left symbol needs no such check: it changes only by taking in its right neighbour.
        var rightSymbol: Int32

        var left: Int { Int(key & 0xFFFF_FFFF) }
        var priority: UInt32 { UInt32(key >> 32) }
    }

    private static let dead = Int32.min

    private var links: [Link] = []
    private var heap: [Candidate] = []
    /// Candidates beyond which the outdated ones are thrown out.
    private var heapMax = 0
    private var last: Int32 = -1

    mutating func removeAll() {
        links.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        last = -1
    }

    /// Makes room for a word of `byteCount` bytes: 36 bytes for each.
    mutating func reserve(byteCount: Int) {
        links.reserveCapacity(byteCount)
        heap.reserveCapacity(byteCount + byteCount / 2 + 2)
    }

    /// Appends a symbol of `byteCount` bytes.
    mutating func append(_ symbol: Int32, byteCount: Int) {
        let start = Int32(links.count)
        let end = start + Int32(byteCount)
        links.append(Link(symbol: symbol, next: end, previous: last))
        for _ in 1..<max(byteCount, 1) {
            links.append(Link(symbol: Self.dead, next: end, previous: -1))
        }
        last = start
    }

    /// Merges until no neighbours may.
    mutating func merge(_ rules: some MergeRules) {
        var left = 0
        while left < links.count, links[left].next < links.count {
            if let candidate = candidate(at: left, rules) { heap.append(candidate) }
            left = Int(links[left].next)
        }
        heapMax = links.count + links.count / 2
        arrangeHeap()
        while let candidate = popFirst() {
            guard Self.isCurrent(candidate, links) else { continue }
            join(candidate.left, Int(candidate.right), candidate.priority, rules)
        }
    }

    private static func isCurrent(_ candidate: Candidate, _ links: [Link]) -> Bool {
        let left = candidate.left
        return links[left].symbol != dead && links[left].next == candidate.right
            && links[Int(candidate.right)].symbol == candidate.rightSymbol
    }

    private mutating func arrangeHeap() {
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
    }

    /// Calls `body` with each remaining symbol and its bytes' range.
    func visit(_ body: (Int32, Range<Int>) -> Void) {
        var index = 0
        while index < links.count {
            let end = Int(links[index].next)
            body(links[index].symbol, index..<end)
            index = end
        }
    }

    private mutating func join(
        _ left: Int, _ right: Int, _ priority: UInt32, _ rules: some MergeRules
    ) {
        let end = links[right].next
        links[left].symbol = rules.merged(priority: priority, range: left..<Int(end))
        links[left].next = end
        links[right].symbol = Self.dead
        if end < links.count {
            links[Int(end)].previous = Int32(left)
            if let candidate = candidate(at: left, rules) { push(candidate) }
        }
        let previous = links[left].previous
        if previous >= 0, let candidate = candidate(at: Int(previous), rules) { push(candidate) }
    }

    /// The merge of the symbol at `left` with its right neighbour, which it has.
    private func candidate(at left: Int, _ rules: some MergeRules) -> Candidate? {
        let right = links[left].next
        let neighbour = links[Int(right)]
        guard
            let priority = rules.priority(
                left: links[left].symbol, right: neighbour.symbol,
                range: left..<Int(neighbour.next))
        else { return nil }
        return Candidate(
            key: UInt64(priority) << 32 | UInt64(left), right: right,
            rightSymbol: neighbour.symbol)
    }

    private mutating func push(_ candidate: Candidate) {
        if heap.count > heapMax {
            // What is current is one for each symbol at most: a third goes at least.
            let links = links
            heap.removeAll { !Self.isCurrent($0, links) }
            arrangeHeap()
        }
        heap.append(candidate)
        var index = heap.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            if heap[parent].key <= candidate.key { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = candidate
    }

    private mutating func popFirst() -> Candidate? {
        guard let first = heap.first, let moved = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = moved
            siftDown(0)
        }
        return first
    }

    private mutating func siftDown(_ start: Int) {
        let moving = heap[start]
        var index = start
        while true {
            var child = 2 * index + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].key < heap[child].key { child += 1 }
            if moving.key <= heap[child].key { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = moving
    }
}
