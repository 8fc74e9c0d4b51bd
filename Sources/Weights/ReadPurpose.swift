// What reads of weights are for. The reader knows tickets alone.

internal import FlashStorage

/// What a read is for.
enum ReadPurpose: Equatable {
    /// An extent into the dense ring.
    case dense(entry: EntryNumber)
    /// An extent that stays for good.
    case pinned(unit: UnitIndex)
    /// An expert's bundle into a slot.
    case expert(slot: SlotIndex)
    /// Bundles of neurons into a slot.
    case neurons(slot: SlotIndex)
    /// A page window of the embeddings.
    case embedding(row: Int)
}

extension ReadPurpose {
    /// A ticket's highest bits say the kind, the rest the number.
    private static let numberBits: UInt64 = 56

    var ticket: FlashTicket {
        let (kind, number): (UInt64, Int) =
            switch self {
            case .dense(let entry): (0, entry.index)
            case .pinned(let unit): (1, unit.index)
            case .expert(let slot): (2, slot.index)
            case .neurons(let slot): (3, slot.index)
            case .embedding(let row): (4, row)
            }
        return FlashTicket(rawValue: kind << Self.numberBits | UInt64(number))
    }

    /// - Precondition: a ``ticket``.
    init(_ ticket: FlashTicket) {
        let number = Int(ticket.rawValue & (1 << Self.numberBits - 1))
        switch ticket.rawValue >> Self.numberBits {
        case 0: self = .dense(entry: EntryNumber(number))
        case 1: self = .pinned(unit: UnitIndex(number))
        case 2: self = .expert(slot: SlotIndex(number))
        case 3: self = .neurons(slot: SlotIndex(number))
        case 4: self = .embedding(row: number)
        default: preconditionFailure("a ticket that nobody gave out")
        }
    }
}
