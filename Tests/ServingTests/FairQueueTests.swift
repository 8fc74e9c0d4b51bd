// Clients take turns, against a list that is searched whole for whoever has stood in line longest.

import GenerationAPI
import ModelFormat
import Serving
import TestSupport
import Testing

@Suite struct FairQueueTests {
    private static func order(_ id: Int, of client: UInt64) -> WaitingOrder {
        WaitingOrder(
            id: id,
            order: GenerationOrder(prompt: .text(""), client: ClientID(rawValue: client)),
            submittedNanoseconds: 0, onEvent: { _ in })
    }

    private static func drain(_ queue: inout FairQueue) -> [Int] {
        var ids: [Int] = []
        while let order = queue.next() { ids.append(order.id) }
        return ids
    }

    @Test func clientsTakeTurns() {
        var queue = FairQueue()
        #expect(queue.next() == nil && queue.count == 0)
        for (id, client) in [(1, 7), (2, 7), (3, 7), (4, 8), (5, 9), (6, 8)] {
            queue.append(Self.order(id, of: UInt64(client)))
        }
        #expect(queue.count == 6)
        #expect(Self.drain(&queue) == [1, 4, 5, 2, 6, 3] && queue.count == 0)
    }

    /// A user with many clients gets no more turns than one with few.
    @Test func usersTakeTurnsBeforeTheirClients() {
        var queue = FairQueue()
        func order(_ id: Int, _ client: UInt64, _ user: UInt32?) -> WaitingOrder {
            let client = ClientID(rawValue: client, user: user)
            return WaitingOrder(
                id: id, order: GenerationOrder(prompt: .text(""), client: client),
                submittedNanoseconds: 0, onEvent: { _ in })
        }
        for id in 1...6 { queue.append(order(id, UInt64(id), 1000)) }
        queue.append(order(7, 7, 1001))
        queue.append(order(8, 7, 1001))
        queue.append(order(9, 9, nil))
        #expect(queue.first?.id == 1 && queue.count == 9)
        #expect(Self.drain(&queue) == [1, 7, 9, 2, 8, 3, 4, 5, 6] && queue.first == nil)
    }

    @Test func whoLeavesIsNotWaitedFor() {
        var queue = FairQueue()
        for (id, client) in [(1, 7), (2, 8), (3, 7), (4, 9)] {
            queue.append(Self.order(id, of: UInt64(client)))
        }
        #expect(queue.remove(id: 2)?.id == 2 && queue.remove(id: 2) == nil && queue.count == 3)
        #expect(queue.remove(id: 1)?.id == 1)
        #expect(Self.drain(&queue) == [3, 4])
    }

    @Test func randomOrdersEqualAPlainList() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<40 {
            var queue = FairQueue()
            var naive = NaiveQueue()
            for id in 0..<200 {
                let isSame = Self.step(id, &queue, &naive, &random)
                guard isSame && queue.count == naive.orders.count else {
                    Issue.record("seed \(seed), round \(round), step \(id)")
                    return
                }
            }
        }
    }

    /// Whether both do the same.
    private static func step(
        _ id: Int, _ queue: inout FairQueue, _ naive: inout NaiveQueue, _ random: inout SplitMix
    ) -> Bool {
        switch Int.random(in: 0..<5, using: &random) {
        case 0...1:
            let client = UInt64.random(in: 0..<5, using: &random)
            queue.append(order(id, of: client))
            naive.append(id, client)
            return true
        case 2:
            let other = Int.random(in: 0...id, using: &random)
            let isThere = naive.remove(other)
            return queue.remove(id: other)?.id == (isThere ? other : nil)
        default:
            let next = queue.next()
            let expected = naive.next()
            return next?.id == expected?.id && next?.order.client.rawValue == expected?.client
        }
    }
}

/// Orders as they came, and since when each client that has any stands in line.
private struct NaiveQueue {
    var orders: [(id: Int, client: UInt64)] = []
    private var since: [UInt64: Int] = [:]
    private var clock = 0

    mutating func append(_ id: Int, _ client: UInt64) {
        clock += 1
        if !orders.contains(where: { $0.client == client }) { since[client] = clock }
        orders.append((id, client))
    }

    mutating func next() -> (id: Int, client: UInt64)? {
        clock += 1
        let waiting = Set(orders.map(\.client))
        guard let client = waiting.min(by: { since[$0, default: 0] < since[$1, default: 0] }),
            let index = orders.firstIndex(where: { $0.client == client })
        else { return nil }
        since[client] = clock
        return orders.remove(at: index)
    }

    mutating func remove(_ id: Int) -> Bool {
        guard let index = orders.firstIndex(where: { $0.id == id }) else { return false }
        orders.remove(at: index)
        return true
    }
}
