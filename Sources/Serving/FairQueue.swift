// Orders that wait: one bounded queue in which clients take turns.

package import GenerationAPI

/// An order that waits for a place.
package struct WaitingOrder {
    package let id: Int
    package let order: GenerationOrder
    package let submittedNanoseconds: UInt64
    package let onEvent: @Sendable (GenerationEvent) -> Void

    package init(
        id: Int, order: GenerationOrder, submittedNanoseconds: UInt64,
        onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) {
        self.id = id
        self.order = order
        self.submittedNanoseconds = submittedNanoseconds
        self.onEvent = onEvent
    }
}

extension WaitingOrder {
    /// What is left of it when its prompt has become tokens, so that the text is held once.
    var withoutPrompt: WaitingOrder {
        WaitingOrder(
            id: id, order: order.withoutPrompt, submittedNanoseconds: submittedNanoseconds,
            onEvent: onEvent)
    }
}

/// The waiting orders, and the order in which they are served: users in turn, each user's clients
/// in turn, each client's own in sequence.
package struct FairQueue {
    /// Nil is whoever the kernel does not name.
    private var users = Turns<UInt32?, Turns<ClientID, [WaitingOrder]>>()
    package private(set) var count = 0

    package init() {}

    package mutating func append(_ order: WaitingOrder) {
        let client = order.order.client
        users.change(client.user) { clients in
            clients = clients ?? Turns()
            clients?.change(client) { $0 = ($0 ?? []) + [order] }
        }
        count += 1
    }

    /// The next order, which stays where it is.
    package var first: WaitingOrder? { users.first?.first?.first }

    /// The next order; its client goes to the end of the user's line, the user to the end of all.
    package mutating func next() -> WaitingOrder? {
        var taken: WaitingOrder?
        users.takeTurn { clients in
            clients.takeTurn { orders in
                taken = orders.removeFirst()
                return orders.isEmpty
            }
            return clients.isEmpty
        }
        if taken != nil { count -= 1 }
        return taken
    }

    /// Takes out one order, wherever it stands.
    package mutating func remove(id: Int) -> WaitingOrder? {
        for (user, clients) in users.all {
            for (client, orders) in clients.all {
                guard let index = orders.firstIndex(where: { $0.id == id }) else { continue }
                users.change(user) { clients in
                    clients?.change(client) { orders in
                        orders?.remove(at: index)
                        if orders?.isEmpty == true { orders = nil }
                    }
                    if clients?.isEmpty == true { clients = nil }
                }
                count -= 1
                return orders[index]
            }
        }
        return nil
    }
}

/// Who has something that waits, and whose turn it is.
private struct Turns<Owner: Hashable, Things> {
    private(set) var all: [Owner: Things] = [:]
    /// The first is served next.
    private var line: [Owner] = []

    var isEmpty: Bool { line.isEmpty }
    var first: Things? { line.first.flatMap { all[$0] } }

    /// Changes what somebody has; nil is nothing, with which they leave the line.
    mutating func change(_ owner: Owner, _ body: (inout Things?) -> Void) {
        let wasThere = all[owner] != nil
        body(&all[owner])
        let isThere = all[owner] != nil
        if isThere, !wasThere { line.append(owner) }
        if wasThere, !isThere { line.removeAll { $0 == owner } }
    }

    /// Whose turn it is goes to the end of the line, or leaves it.
    ///
    /// - Parameter body: takes of what they have, and says whether nothing is left.
    mutating func takeTurn(_ body: (inout Things) -> Bool) {
        guard let owner = line.first, var own = all[owner] else { return }
        line.removeFirst()
        let isEmpty = body(&own)
        all[owner] = isEmpty ? nil : own
        if !isEmpty { line.append(owner) }
    }
}
