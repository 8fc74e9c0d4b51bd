// The daemon under memory pressure: what each step of the ladder does.

internal import GenerationAPI
internal import HTTPInterface
internal import Knobs
internal import LinuxSystem

extension Daemon {
    /// Looks, and does what the step says.
    func lookAtPressure(_ server: HTTPServer, _ service: any GenerationService) {
        guard let stalled = pressureFile?.stalledMicroseconds() else { return }
        let before = pressure.step
        let now = MonotonicClock.microseconds
        guard pressure.look(stalledMicroseconds: stalled, at: now) else { return }
        let step = pressure.step
        metrics.set(pressureStep: step.rawValue)
        server.update(refusesForMemory: step == .refusing)
        if step < before {
            log.log(.info, step == .calm ? "memory pressure is over" : "memory pressure is less")
            return
        }
        giveBack(service)
        if step == .refusing, before < step {
            log.log(.warning, "memory pressure: new requests are told to come back later")
        }
    }

    /// Models that nobody uses go at once, one that is used when its answers are through.
    private func giveBack(_ service: any GenerationService) {
        let loaded = ((try? service.models()) ?? []).filter(\.isLoaded).map(\.name)
        log.log(
            .warning, "memory pressure: giving memory back",
            ["models": loaded.isEmpty ? "-" : loaded.joined(separator: ",")])
        for name in loaded {
            var order = GenerationOrder(prompt: .text(""), client: ClientID(rawValue: 0))
            order.model = name
            order.wanted = .unloading
            order.keepAlive = .seconds(0)
            _ = service.generate(order) { _ in }
        }
        ProcessMemory.release()
    }

    /// What the service manager is to show of it; empty when there is nothing.
    var pressureStatus: String {
        switch pressure.step {
        case .calm: ""
        case .givingBack: "Short of memory, giving back; "
        case .refusing: "Short of memory, refusing requests; "
        }
    }
}
