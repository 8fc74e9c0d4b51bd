// What a file holds: every header is read, and of the valid ones those are kept whose whole
// sequence is there.

internal import FlashStorage
internal import LinuxSystem
internal import ModelFormat

extension PrefixStore {
    /// Headers that are read at once.
    private static let headersMax = 64

    /// Reads all headers and frees the slots of which nothing can be made.
    ///
    /// - Returns: the blocks that there are, each after the one that it follows.
    func scan() -> [StoredBlock] {
        var found = Scan()
        let window = min(Self.headersMax, arena.byteCount / SlotHeader.byteCount)
        var next = 0
        while next < slots.writtenEnd {
            let numbers = next..<min(next + window, slots.writtenEnd)
            guard read(numbers, &found) else { return [] }
            next = numbers.upperBound
        }
        if let first = found.firstDamage {
            notice("\(found.damagedCount) prefixes were damaged and are forgotten: \(first)")
        }
        stamp = found.headers.values.map(\.header.stamp).max() ?? 0
        let blocks = found.chains()
        let kept = Set(blocks.map(\.slot))
        for number in 0..<slots.writtenEnd {
            let slot = SlotID(rawValue: Int32(number))
            if !kept.contains(slot) { slots.release(slot) }
        }
        for block in blocks {
            guard let layers = found.headers[block.block.digest]?.header.layers else { continue }
            slots.set(layers, of: block.slot)
        }
        return blocks
    }

    /// - Returns: false when the store is off now.
    private func read(_ numbers: Range<Int>, _ found: inout Scan) -> Bool {
        let size = SlotHeader.byteCount
        do {
            for number in numbers {
                try reader.submit(
                    FlashRequest(
                        FlashTicket(rawValue: UInt64(number)), file: file,
                        fileOffset: fileOffset(of: SlotID(rawValue: Int32(number))),
                        byteCount: size, arenaOffset: (number - numbers.lowerBound) * size),
                    isLast: number + 1 == numbers.upperBound)
            }
            while reader.requestsInFlight > 0 {
                guard let completion = try reader.next(waiting: true) else { break }
                let request = completion.request
                let slot = SlotID(rawValue: Int32(request.ticket.rawValue))
                if let failure = completion.failure {
                    found.add(failure)
                } else {
                    let range = request.arenaOffset..<request.arenaOffset + size
                    found.add(bytes(range), in: slot, options)
                }
            }
            return true
        } catch {
            turnOff("prefixes are not kept on flash: \(error)")
            return false
        }
    }
}

/// What was found so far.
private struct Scan {
    /// By their blocks' digests.
    var headers: [Digest256: (slot: SlotID, header: SlotHeader)] = [:]
    var damagedCount = 0
    var firstDamage: String?

    /// A header that could not be read. Where the file ends there is none.
    mutating func add(_ failure: ReadFailure) {
        if failure.cause != .endOfFile { addDamage("\(failure)") }
    }

    mutating func add(_ bytes: [UInt8], in slot: SlotID, _ options: PrefixStoreOptions) {
        if bytes.allSatisfy({ $0 == 0 }) { return }
        do {
            let header = try SlotHeader(bytes, options.identity, file: "slot \(slot.rawValue)")
            // A slot that was freed keeps its block until it is written again.
            let digest = header.block.digest
            if let other = headers[digest], other.header.stamp > header.stamp { return }
            headers[digest] = (slot, header)
        } catch {
            addDamage("\(error)")
        }
    }

    private mutating func addDamage(_ what: String) {
        damagedCount += 1
        firstDamage = firstDamage ?? what
    }

    /// Those whose sequence is there from its beginning, each after the one that it follows.
    func chains() -> [StoredBlock] {
        var children: [Digest256: [Digest256]] = [:]
        for (digest, found) in headers {
            children[found.header.block.parent, default: []].append(digest)
        }
        var blocks: [StoredBlock] = []
        var open = children[.none] ?? []
        while let digest = open.popLast() {
            guard let (slot, header) = headers[digest] else { continue }
            blocks.append(StoredBlock(slot: slot, block: header.block, stamp: header.stamp))
            open += children[digest] ?? []
        }
        return blocks
    }
}
