// What reads of weights are for. The reader knows tickets alone.

internal import FlashStorage

/// What a read is for.
enum ReadPurpose: Equatable {
    /// An extent into the dense ring.
    case dense(entry: Int)
    /// An extent that stays for good.
    case pinned(unit: Int)
    /// An expert's bundle into a slot.
    case expert(slot: Int)
    /// Bundles of neurons into a slot.
    case neurons(slot: Int)
    /// A page window of the embeddings.
    case embedding(row: Int)
}

extension ReadPurpose {
    /// A ticket's highest bits say the kind, the rest the number.
    private static let numberBits: UInt64 = 56

    var ticket: FlashTicket {
        let (kind, number): (UInt64, Int) =
            switch self {
            case .dense(let entry): (0, entry)
            case .pinned(let unit): (1, unit)
            case .expert(let slot): (2, slot)
            case .neurons(let slot): (3, slot)
            case .embedding(let row): (4, row)
            }
        return FlashTicket(rawValue: kind << Self.numberBits | UInt64(number))
    }

    /// - Precondition: a ``ticket``.
    init(_ ticket: FlashTicket) {
        let number = Int(ticket.rawValue & (1 << Self.numberBits - 1))
        switch ticket.rawValue >> Self.numberBits {
        case 0: self = .dense(entry: number)
        case 1: self = .pinned(unit: number)
        case 2: self = .expert(slot: number)
        case 3: self = .neurons(slot: number)
        case 4: self = .embedding(row: number)
        default: preconditionFailure("a ticket that nobody gave out")
        }
    }
}
