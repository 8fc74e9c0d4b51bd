// Who was used least recently: a doubly linked list over small numbers. Every operation takes
// constant time.

struct RecencyList {
    private struct Links {
        var earlier: Int32
        var later: Int32
    }

    private static let end: Int32 = -1
    /// In ``Links/earlier`` of who is not in the list.
    private static let absent: Int32 = -2

    private var links: [Links] = []
    /// Used least recently; -1 is nobody.
    private var firstNumber = Self.end
    private var lastNumber = Self.end
    private(set) var count = 0

    /// Used least recently.
    var first: Int32? { firstNumber == Self.end ? nil : firstNumber }

    /// Makes room for one more number, which is not in the list.
    mutating func grow() { links.append(Links(earlier: Self.absent, later: Self.end)) }

    func contains(_ number: Int32) -> Bool { links[Int(number)].earlier != Self.absent }

    /// Adds `number` as used most recently, wherever it was.
    mutating func append(_ number: Int32) {
        remove(number)
        links[Int(number)] = Links(earlier: lastNumber, later: Self.end)
        if lastNumber == Self.end {
            firstNumber = number
        } else {
            links[Int(lastNumber)].later = number
        }
        lastNumber = number
        count += 1
    }

    mutating func remove(_ number: Int32) {
        guard contains(number) else { return }
        let link = links[Int(number)]
        if link.earlier == Self.end {
            firstNumber = link.later
        } else {
            links[Int(link.earlier)].later = link.later
        }
        if link.later == Self.end {
            lastNumber = link.earlier
        } else {
            links[Int(link.later)].earlier = link.earlier
        }
        links[Int(number)] = Links(earlier: Self.absent, later: Self.end)
        count -= 1
    }
}
