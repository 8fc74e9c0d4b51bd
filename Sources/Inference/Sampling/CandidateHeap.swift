// The candidates of one draw in an array of fixed capacity, kept as a binary heap: with the
// unlikeliest on top while they are gathered, with the likeliest on top while they are truncated.

/// Tokens with logits, at most `capacity`, ordered by logit and, between equal ones, by token.
struct CandidateHeap: Sendable {
    struct Candidate: Sendable, Equatable {
        var logit: Float
        var token: Int32

        /// The order in which candidates are preferred; no two are equal in it.
        func isLikelier(than other: Candidate) -> Bool {
            logit > other.logit || (logit == other.logit && token < other.token)
        }
    }

    let capacity: Int
    private var storage: [Candidate] = []

    init(capacity: Int) {
        self.capacity = capacity
        storage.reserveCapacity(capacity)
    }

    var count: Int { storage.count }

    subscript(_ index: Int) -> Candidate { storage[index] }

    mutating func removeAll() { storage.removeAll(keepingCapacity: true) }

    /// Whether a candidate would be kept.
    func takes(_ logit: Float, _ token: Int) -> Bool {
        guard storage.count == capacity, capacity > 0 else { return storage.count < capacity }
        return Candidate(logit: logit, token: Int32(token)).isLikelier(than: storage[0])
    }

    /// Keeps a candidate if it is among the `capacity` likeliest so far.
    mutating func offer(_ candidate: Candidate) {
        if storage.count < capacity {
            storage.append(candidate)
            guard storage.count == capacity else { return }
            heapify(likeliestFirst: false)
        } else if candidate.isLikelier(than: storage[0]) {
            storage[0] = candidate
            siftDown(0, count: storage.count, likeliestFirst: false)
        }
    }

    /// Rearranges the candidates as a heap with the likeliest at index 0.
    mutating func makeLikeliestFirst() { heapify(likeliestFirst: true) }

    /// Moves the likeliest of the first `count` candidates to index `count - 1` and restores the
    /// heap before it.
    ///
    /// - Returns: `count - 1`, the size of the remaining heap.
    mutating func moveLikeliestBehind(_ count: Int) -> Int {
        storage.swapAt(0, count - 1)
        siftDown(0, count: count - 1, likeliestFirst: true)
        return count - 1
    }

    private mutating func heapify(likeliestFirst: Bool) {
        for index in stride(from: storage.count / 2 - 1, through: 0, by: -1) {
            siftDown(index, count: storage.count, likeliestFirst: likeliestFirst)
        }
    }

    private mutating func siftDown(_ start: Int, count: Int, likeliestFirst: Bool) {
        var parent = start
        while 2 * parent + 1 < count {
            var child = 2 * parent + 1
            if child + 1 < count
                && storage[child + 1].isLikelier(than: storage[child]) == likeliestFirst
            {
                child += 1
            }
            guard storage[child].isLikelier(than: storage[parent]) == likeliestFirst else { return }
            storage.swapAt(parent, child)
            parent = child
        }
    }
}
