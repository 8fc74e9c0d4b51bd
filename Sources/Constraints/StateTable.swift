// Where a text may be within a grammar: sets of stacks, each once, and what follows a byte, once it
// was asked for. A lazily determined automaton in bounded memory; what is forgotten is found again.

/// A place within the grammar, of one table, until its states are forgotten.
struct StateID: Hashable, Sendable {
    fileprivate(set) var index: Int32
}

/// The states that were met so far.
struct StateTable {
    enum Problem: Error {
        /// Nothing more can be kept: forget, and try again.
        case full
        /// Too many ways at once, or too much work for one token.
        case ambiguous
    }

    /// Ways that a text may be understood in at once, at most.
    static let stacksMax = 2048
    /// Stacks that may be looked at for one token: some tenths of a second.
    private static let workMax = 2_000_000

    /// A node that is returned to, and what is below; also a stack, whose node is next.
    private struct Frame: Hashable {
        var node: Int32
        /// None, or another frame.
        var below: Int32
    }

    private static let none: Int32 = -1
    private static let unknown: Int32 = -2
    /// The stack of a text that may end here.
    private static let ended: Int32 = -1
    /// What dictionaries and arrays take for an entry, beside what is in it.
    private static let frameBytes = 64
    private static let stateBytes = 192

    private let automaton: Automaton
    /// The automaton's, at hand.
    private let classes: [UInt8]
    private let symbolCount: Int
    private let bytesMax: Int
    private var frames: [Frame] = []
    private var framePlaces: [Frame: Int32] = [:]
    /// The stacks of each state, sorted.
    private var states: [[Int32]] = []
    private var statePlaces: [[Int32]: Int32] = [:]
    /// For each state and symbol what follows.
    private var rows: [Int32] = []
    private(set) var usedBytes = 0
    /// Stacks that were looked at since the last token.
    private var work = 0

    init(_ automaton: Automaton, bytesMax: Int) {
        self.automaton = automaton
        (classes, symbolCount) = (automaton.classes, automaton.symbolCount)
        self.bytesMax = bytesMax
    }

    // MARK: asking

    /// What follows is for another token.
    mutating func beginToken() { work = 0 }

    /// Where every text begins.
    mutating func start() throws(Problem) -> StateID {
        var search = Search()
        search.waiting = [Frame(node: automaton.start, below: Self.none)]
        return try state(&search) ?? StateID(index: 0)
    }

    /// What follows a byte; nil where it may not come.
    mutating func next(_ state: StateID, byte: UInt8) throws(Problem) -> StateID? {
        try next(state, symbol: Int(classes[Int(byte)]))
    }

    /// What follows a token that the grammar names.
    mutating func next(_ state: StateID, token: Int) throws(Problem) -> StateID? {
        try next(state, symbol: automaton.representatives.count + token)
    }

    private mutating func next(_ state: StateID, symbol: Int) throws(Problem) -> StateID? {
        let place = Int(state.index) * symbolCount + symbol
        var found = rows[place]
        if found == Self.unknown {
            found = try follow(state, symbol)
            rows[place] = found
        }
        return found == Self.none ? nil : StateID(index: found)
    }

    /// Whether a text may end here.
    func isAccepting(_ state: StateID) -> Bool { states[Int(state.index)].first == Self.ended }

    /// Whether nothing can follow.
    func isComplete(_ state: StateID) -> Bool { states[Int(state.index)] == [Self.ended] }

    // MARK: finding out

    /// Stacks on their way to a node that takes something.
    private struct Search {
        var waiting: [Frame] = []
        var seen: Set<Frame> = []
        var found: Set<Int32> = []
    }

    private mutating func follow(_ state: StateID, _ symbol: Int) throws(Problem) -> Int32 {
        var search = Search()
        let byteClasses = automaton.representatives.count
        try spend(states[Int(state.index)].count)
        for stack in states[Int(state.index)] where stack != Self.ended {
            let frame = frames[Int(stack)]
            let node = automaton.nodes[Int(frame.node)]
            let takes =
                switch node.kind {
                case .byte:
                    symbol < byteClasses
                        && automaton.sets[Int(node.operand)].contains(
                            automaton.representatives[symbol])
                case .token: symbol - byteClasses == Int(node.operand)
                case .end, .call, .split: false
                }
            if takes { search.waiting.append(Frame(node: node.next, below: frame.below)) }
        }
        if search.waiting.isEmpty { return Self.none }
        return try self.state(&search)?.index ?? Self.none
    }

    /// The state of all stacks that the search leads to.
    private mutating func state(_ search: inout Search) throws(Problem) -> StateID? {
        while let frame = search.waiting.popLast() {
            guard search.seen.insert(frame).inserted else { continue }
            guard search.seen.count <= Self.stacksMax * 8 else { throw .ambiguous }
            try spend(1)
            let node = automaton.nodes[Int(frame.node)]
            switch node.kind {
            case .byte, .token:
                search.found.insert(try intern(frame))
                guard search.found.count <= Self.stacksMax else { throw .ambiguous }
            case .split:
                search.waiting.append(Frame(node: node.next, below: frame.below))
                if node.operand != node.next {
                    search.waiting.append(Frame(node: node.operand, below: frame.below))
                }
            case .call:
                // A rule's last call returns to where the rule does: stacks do not grow by it.
                let returnsAtOnce = node.next == Automaton.end
                let below =
                    returnsAtOnce
                    ? frame.below : try intern(Frame(node: node.next, below: frame.below))
                search.waiting.append(Frame(node: node.operand, below: below))
            case .end:
                if frame.below == Self.none {
                    search.found.insert(Self.ended)
                } else {
                    search.waiting.append(frames[Int(frame.below)])
                }
            }
        }
        guard !search.found.isEmpty else { return nil }
        return try intern(search.found.sorted())
    }

    private mutating func spend(_ count: Int) throws(Problem) {
        work += count
        guard work <= Self.workMax else { throw .ambiguous }
    }

    private mutating func intern(_ frame: Frame) throws(Problem) -> Int32 {
        if let place = framePlaces[frame] { return place }
        try charge(Self.frameBytes)
        let place = Int32(frames.count)
        frames.append(frame)
        framePlaces[frame] = place
        return place
    }

    private mutating func intern(_ stacks: [Int32]) throws(Problem) -> StateID {
        if let place = statePlaces[stacks] { return StateID(index: place) }
        try charge(Self.stateBytes + 4 * stacks.count + 6 * symbolCount)
        let place = Int32(states.count)
        states.append(stacks)
        statePlaces[stacks] = place
        rows.append(contentsOf: repeatElement(Self.unknown, count: symbolCount))
        return StateID(index: place)
    }

    private mutating func charge(_ bytes: Int) throws(Problem) {
        guard usedBytes + bytes <= bytesMax else { throw .full }
        usedBytes += bytes
    }

    // MARK: forgetting

    /// Forgets everything but `kept`.
    ///
    /// - Returns: the states that these are from now on.
    /// - Throws: `Problem.full` where not even these can be kept. They are then void.
    mutating func forget(keeping kept: [StateID]) throws(Problem) -> [StateID] {
        let oldFrames = frames
        let old = kept.map { states[Int($0.index)] }
        (frames, framePlaces, states, statePlaces, rows) = ([], [:], [], [:], [])
        usedBytes = 0
        var moved: [Int32: Int32] = [:]
        var now: [StateID] = []
        for stacks in old {
            var own: Set<Int32> = []
            for stack in stacks {
                own.insert(
                    stack == Self.ended ? stack : try move(stack, from: oldFrames, &moved))
            }
            now.append(try intern(own.sorted()))
        }
        return now
    }

    /// A frame with all below it, from the lowest on.
    private mutating func move(
        _ frame: Int32, from old: [Frame], _ moved: inout [Int32: Int32]
    ) throws(Problem) -> Int32 {
        var path: [Int32] = []
        var next = frame
        while next != Self.none, moved[next] == nil {
            path.append(next)
            next = old[Int(next)].below
        }
        var below = next == Self.none ? Self.none : moved[next] ?? Self.none
        for place in path.reversed() {
            below = try intern(Frame(node: old[Int(place)].node, below: below))
            moved[place] = below
        }
        return below
    }
}
