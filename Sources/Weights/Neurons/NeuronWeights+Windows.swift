// Windows filled from a prompt: its passes stream every neuron through memory anyway, and those
// that rank highest then stay.

internal import LinuxSystem
internal import ModelFormat

extension NeuronWeights {
    /// Chooses whom a layer's window should have, of all neurons: they are about to pass by.
    ///
    /// - Precondition: neurons are fetched one by one.
    package func beginWindow(layer: Int) {
        let start = MonotonicClock.nanoseconds
        // Those that a failed pass still wanted.
        rows.wantNobody()
        let rowsMax = rows.windows.reduce(0) { $0 + $1.rowsMax }
        let plan = directory.plan
        let share = max(0, (plan.sparse?.rowCount ?? 0) - plan.sharedRowCount)
        let count =
            min(1, Double(share) / Double(max(rowsMax, 1)))
            * Double(rows.windows[layer].rowsMax)
        // Taken apart: the window's call writes to lists beside it.
        var (freeRows, isWanted) = (rows.free, rows.isWanted)
        (rows.free, rows.isWanted) = ([], [])
        rows.windows[layer].choose(Int(count)) {
            freeRows.append($0)
        } want: {
            isWanted[$0.index] = true
        }
        (rows.free, rows.isWanted) = (freeRows, isWanted)
        countManagement(since: start)
    }

    /// Takes the rows away that lie where a prompt has its ring. Nothing may be on its way to them.
    func lendRows() {
        let shared = directory.plan.sharedRowCount
        guard shared > 0, !rows.areLent else { return }
        rows.areLent = true
        for layer in rows.windows.indices {
            rows.windows[layer].removeMembers(inFirst: shared)
        }
        rows.free.removeAll { $0.index < shared }
    }

    /// Gives them back. Nothing may be on its way to the ring.
    func takeBackRows() {
        guard rows.areLent else { return }
        rows.areLent = false
        rows.free += (0..<directory.plan.sharedRowCount).reversed().map { RowIndex($0) }
    }

    /// Copies the records that were chosen out of those at `places`, which `bytes` holds, bundle
    /// after bundle.
    package func fillWindow(layer: Int, _ bytes: RawSpan, _ places: Range<Int>) {
        guard let plan = directory.plan.sparse else {
            preconditionFailure("windows of a model that has none")
        }
        let record = directory.neuronLayer(layer)
        let start = MonotonicClock.nanoseconds
        let first = record.firstRowOffset(place: places.lowerBound)
        for place in places {
            let neuron = neuron(at: NeuronPlace(place), layer: layer)
            guard rows.isWanted[neuron.index] else { continue }
            rows.isWanted[neuron.index] = false
            // Layers that come later may still hold more than their share.
            guard let row = rows.free.popLast() else { continue }
            let offset = record.firstRowOffset(place: place) - first
            let part = plan.part(record)
            reads.arena.copy(
                bytes.extracting(offset + part.lowerBound..<offset + part.upperBound),
                to: directory.plan.windowOffset + row.index * plan.rowBytes)
            rows.windows[layer].insert(neuron, row: row)
        }
        countManagement(since: start)
    }
}
