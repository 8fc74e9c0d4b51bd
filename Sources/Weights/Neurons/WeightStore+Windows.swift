// Windows filled from a prompt: its passes stream every neuron through memory anyway, and those
// that rank highest then stay.

internal import LinuxSystem
internal import ModelFormat

extension WeightStore {
    /// Chooses whom a layer's window should have, of all neurons: they are about to pass by.
    ///
    /// - Precondition: ``fetchesNeurons``.
    package func beginWindow(layer: Int) {
        let start = MonotonicClock.nanoseconds
        // Those that a failed pass still wanted.
        for neuron in sparse.isWanted.indices { sparse.isWanted[neuron] = false }
        let rows = sparse.windows.reduce(0) { $0 + $1.rowsMax }
        let share = max(0, (plan.sparse?.rowCount ?? 0) - plan.sharedRowCount)
        let count =
            min(1, Double(share) / Double(max(rows, 1)))
            * Double(sparse.windows[layer].rowsMax)
        // Taken apart: the window's call writes to lists beside it.
        var (freeRows, isWanted) = (sparse.freeRows, sparse.isWanted)
        (sparse.freeRows, sparse.isWanted) = ([], [])
        sparse.windows[layer].choose(Int(count)) {
            freeRows.append($0)
        } want: {
            isWanted[$0.index] = true
        }
        (sparse.freeRows, sparse.isWanted) = (freeRows, isWanted)
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
    }

    /// Takes the rows away that lie where a prompt has its ring. Nothing may be on its way to them.
    func lendRows() {
        let shared = plan.sharedRowCount
        guard shared > 0, !sparse.hasLentRows else { return }
        sparse.hasLentRows = true
        for layer in sparse.windows.indices {
            sparse.windows[layer].removeMembers(inFirst: shared)
        }
        sparse.freeRows.removeAll { $0.index < shared }
    }

    /// Gives them back. Nothing may be on its way to the ring.
    func takeBackRows() {
        guard sparse.hasLentRows else { return }
        sparse.hasLentRows = false
        sparse.freeRows += (0..<plan.sharedRowCount).reversed().map { RowIndex($0) }
    }

    /// Copies the records that were chosen out of those at `places`, which `bytes` holds, bundle
    /// after bundle.
    package func fillWindow(layer: Int, _ bytes: RawSpan, _ places: Range<Int>) {
        guard let record = manifest.neurons?[layer], let plan = plan.sparse else {
            preconditionFailure("windows of a model that has none")
        }
        let start = MonotonicClock.nanoseconds
        let first = record.firstRowOffset(place: places.lowerBound)
        for place in places {
            let neuron = neuron(at: NeuronPlace(place), layer: layer)
            guard sparse.isWanted[neuron.index] else { continue }
            sparse.isWanted[neuron.index] = false
            // Layers that come later may still hold more than their share.
            guard let row = sparse.freeRows.popLast() else { continue }
            let offset = record.firstRowOffset(place: place) - first
            let part = plan.part(record)
            reads.arena.copy(
                bytes.extracting(offset + part.lowerBound..<offset + part.upperBound),
                to: self.plan.windowOffset + row.index * plan.rowBytes)
            sparse.windows[layer].insert(neuron, row: row)
        }
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
    }
}
