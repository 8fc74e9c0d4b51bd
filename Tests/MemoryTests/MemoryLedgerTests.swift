// The ledger: no reservation beyond the limit, every reservation's end gives back, shares are
// divided anew as a whole or not at all; and the same as a plain list under random operations.

import Memory
import Synchronization
import TestSupport
import Testing

@Suite struct MemoryLedgerTests {
    private static let mebibyte = 1 << 20

    @Test func aReservationsEndGivesBack() throws {
        let ledger = MemoryLedger(limitBytes: 32 << 20, connectionBytes: 4 << 20)
        #expect(ledger.leftBytes == 12 << 20)
        do {
            let pages = try ledger.reserve(.keyValuePages, 8 << 20)
            #expect(pages.byteCount == 8 << 20 && ledger.leftBytes == 4 << 20)
            #expect(ledger.bytes(of: .keyValuePages) == 8 << 20)
        }
        #expect(ledger.leftBytes == 12 << 20 && ledger.bytes(of: .keyValuePages) == 0)
    }

    @Test func nothingBeyondTheLimit() throws {
        let ledger = MemoryLedger(limitBytes: 20 << 20)
        let first = try ledger.reserve(.vectors, 4 << 20)
        let error = #expect(throws: MemoryError.self) { _ = try ledger.reserve(.drafts, 1) }
        #expect(
            error?.description
                == "of the memory limit, 20.0 MiB, 0.0 MiB are left, too little for drafts 0.1 MiB"
        )
        #expect(ledger.bytes(of: .drafts) == 0)
        _ = try ledger.reserve(.drafts, 0)
        #expect(first.byteCount == 4 << 20)
    }

    /// The process and its clients are there whether there is memory for them or not; nothing else
    /// is.
    @Test func aTinyLimitHoldsNothingMore() throws {
        let ledger = MemoryLedger(limitBytes: 1, connectionBytes: 1 << 20)
        #expect(ledger.leftBytes == 0)
        #expect(throws: MemoryError.self) { _ = try ledger.reserve(.vectors, 1) }
        #expect(ledger.held.sumBytes == MemoryLedger.processBytes + 1 << 20)
    }

    @Test func severalTermsAreReservedTogetherOrNotAtAll() throws {
        let ledger = MemoryLedger(limitBytes: 20 << 20)
        var plan = MemoryPlan(limitBytes: 0)
        plan.add(.activations, 2 << 20)
        plan.add(.keyValuePages, 3 << 20)
        #expect(throws: MemoryError.self) { _ = try ledger.reserve(plan.terms) }
        #expect(ledger.leftBytes == 4 << 20)
        ledger.limitBytes = 21 << 20
        var both = try ledger.reserve(plan.terms)
        let pages = both.split([.keyValuePages])
        #expect(pages.byteCount == 3 << 20 && both.byteCount == 2 << 20)
        #expect(both.split([.drafts]).byteCount == 0)
        #expect(ledger.leftBytes == 0)
        // The limit may sink under what is held.
        ledger.limitBytes = 1 << 20
        #expect(ledger.leftBytes == 0)
    }

    @Test func aShareIsDividedAnew() throws {
        let ledger = MemoryLedger(limitBytes: 24 << 20)
        var share = try ledger.reserve(.expertSlots, 8 << 20)
        var plan = MemoryPlan(limitBytes: 0)
        plan.add(.expertSlots, 5 << 20)
        plan.add(.keyValuePages, 3 << 20)
        try share.divide(anew: plan.terms)
        #expect(ledger.bytes(of: .expertSlots) == 5 << 20 && ledger.leftBytes == 0)
        plan.add(.keyValuePages, 1)
        #expect(throws: MemoryError.self) { try share.divide(anew: plan.terms) }
        #expect(share.byteCount == 8 << 20 && ledger.bytes(of: .keyValuePages) == 3 << 20)
        // Less is always granted, also where the limit has sunk.
        ledger.limitBytes = 1
        try share.divide(anew: [])
        #expect(ledger.held.sumBytes == MemoryLedger.processBytes)
    }

    @Test func aShareIsWhatOthersLeave() throws {
        let ledger = MemoryLedger(limitBytes: 64 << 20, connectionBytes: 4 << 20)
        #expect(ledger.share.limitBytes == 64 << 20 && ledger.share.sumBytes == 20 << 20)
        let other = try ledger.reserve(.denseWeights, 30 << 20)
        #expect(ledger.share.limitBytes == 34 << 20 && ledger.share.sumBytes == 20 << 20)
        #expect(ledger.share.leftBytes == ledger.leftBytes && other.byteCount == 30 << 20)
    }

    /// Holds a reservation, which arrays cannot.
    private final class Owner {
        var reservation: MemoryReservation
        var bytes: [MemoryTerm: Int]

        init(_ reservation: consuming MemoryReservation, _ bytes: [MemoryTerm: Int]) {
            self.reservation = reservation
            self.bytes = bytes
        }
    }

    @Test func randomOperationsEqualAList() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        let ledger = MemoryLedger(limitBytes: 64 << 20)
        var owners: [Owner] = []
        func sum() -> Int { owners.reduce(0) { $0 + $1.bytes.values.reduce(0, +) } }
        func terms() -> [MemoryPlan.Term] {
            var plan = MemoryPlan(limitBytes: 0)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                plan.add(
                    MemoryTerm.allCases.randomElement(using: &random) ?? .drafts,
                    Int.random(in: 0...(12 << 20), using: &random))
            }
            return plan.terms
        }
        func bytes(_ terms: [MemoryPlan.Term]) -> [MemoryTerm: Int] {
            Dictionary(terms.map { ($0.term, $0.bytes) }, uniquingKeysWith: +)
        }
        var refusals = 0
        for _ in 0..<3000 {
            let left = ledger.limitBytes - MemoryLedger.processBytes - sum()
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                let asked = terms()
                let askedBytes = asked.reduce(0) { $0 + $1.bytes }
                do {
                    owners.append(Owner(try ledger.reserve(asked), bytes(asked)))
                    #expect(askedBytes <= max(0, left), "seed \(seed)")
                } catch {
                    refusals += 1
                    #expect(askedBytes > left, "seed \(seed)")
                }
            case 2 where !owners.isEmpty:
                owners.remove(at: Int.random(in: 0..<owners.count, using: &random))
            case 3:
                guard let owner = owners.randomElement(using: &random) else { continue }
                let asked = terms()
                let old = owner.bytes.values.reduce(0, +)
                let new = asked.reduce(0) { $0 + $1.bytes }
                do {
                    try owner.reservation.divide(anew: asked)
                    owner.bytes = bytes(asked)
                    #expect(new <= max(old, left + old), "seed \(seed)")
                } catch {
                    #expect(new > left + old, "seed \(seed)")
                }
            case 4:
                guard let owner = owners.randomElement(using: &random),
                    let term = owner.bytes.keys.randomElement(using: &random)
                else { continue }
                let cut = owner.reservation.split([term])
                let cutBytes = owner.bytes.removeValue(forKey: term) ?? 0
                #expect(cut.byteCount == cutBytes, "seed \(seed)")
                owners.append(Owner(cut, [term: cutBytes]))
            default: ledger.limitBytes = Int.random(in: (32 << 20)...(96 << 20), using: &random)
            }
            let all = MemoryTerm.allCases
            for term in all {
                let base = term == .process ? MemoryLedger.processBytes : 0
                let expected = owners.reduce(base) { $0 + ($1.bytes[term] ?? 0) }
                #expect(ledger.bytes(of: term) == expected, "\(term), seed \(seed)")
            }
        }
        #expect(refusals > 0, "seed \(seed)")
        owners = []
        #expect(ledger.held.sumBytes == MemoryLedger.processBytes, "seed \(seed)")
    }
}
