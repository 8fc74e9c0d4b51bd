// Who has room in the KV cache: sessions are promised pages as they grow. Where none are left, the
// one that began last gives up its own; it goes on when there are some again, from what is
// remembered of it, and computes the rest anew. So a long answer that nobody knows the length of
// holds no more than it needs.

internal import GenerationAPI
internal import Inference
internal import ModelFormat
internal import Models
internal import SequenceState

extension EngineLoop {
    /// Sees that everybody who computes has pages for the next step, and begins what there is room
    /// for.
    func makePlaces(in open: OpenModel) {
        // Those who began first come first, so that somebody always gets on.
        for session in open.scheduler.running.sorted(by: { $0.id < $1.id }) {
            grow(session, in: open)
        }
        resumeSuspended(of: open)
        beginReady(of: open)
    }

    /// Promises a session the pages of its next tokens.
    private func grow(_ session: Session, in open: OpenModel) {
        guard session.maySuspend, open.scheduler.running.contains(where: { $0 === session })
        else { return }
        let cache = open.model.cache
        let drafts = open.model.speculationRoom.draftsMax
        let wanted = min(
            session.placesMax, session.computedCount + session.pendingCount + drafts)
        guard wanted > cache.tokensMax(session.sequence) else { return }
        while !cache.extend(session.sequence, tokensMax: wanted) {
            let last = open.scheduler.running.filter(\.maySuspend).max { $0.id < $1.id }
            suspend(last ?? session, of: open)
            if last === session { return }
        }
    }

    /// Gives up a session's pages: what was computed is remembered as far as there is room.
    private func suspend(_ session: Session, of open: OpenModel) {
        let cache = open.model.cache
        if let owner = session.owner {
            cache.remember(
                session.sequence, tokens: session.computedTokens, owner: owner, isEnded: true)
        }
        cache.close(session.sequence)
        open.scheduler.remove(session)
        open.suspended.append(session)
        open.suspended.sort { $0.id < $1.id }
        session.noteSuspension()
    }

    /// Goes on with those that gave up their pages, first come first.
    private func resumeSuspended(of open: OpenModel) {
        while let session = open.suspended.first {
            let tokens = session.knownTokens
            guard hasPages(for: tokens.count, upTo: session.placesMax, in: open),
                let (sequence, found) = open.model.cache.begin(
                    prompt: tokens, tokensMax: session.placesMax,
                    promised: firstPromise(tokens.count, upTo: session.placesMax),
                    owner: session.owner)
            else { return }
            open.suspended.removeFirst()
            session.resume(with: sequence, found)
            open.scheduler.start(session)
        }
    }

    /// Begins orders whose prompts are tokens, in turn.
    private func beginReady(of open: OpenModel) {
        while open.suspended.isEmpty, let order = open.ready.first {
            do throws(GenerationError) {
                guard let session = try begin(order, in: open) else { return }
                open.ready.removeFirst()
                order.waiting.onEvent(
                    .started(
                        model: open.name, promptTokens: session.statistics.promptTokens,
                        expected: open.expectedSpeed(of: session.statistics)))
                open.ordersServed += 1
                open.scheduler.start(session)
            } catch {
                open.ready.removeFirst()
                noteLess(of: open)
                order.waiting.onEvent(.failed(error))
            }
        }
    }

    /// Tokens whose pages a sequence is promised when it begins.
    func firstPromise(_ tokens: Int, upTo placesMax: Int) -> Int {
        min(placesMax, tokens + KVLayout.pageTokens)
    }

    /// Whether there are pages for a text of so many tokens without those that others are about to
    /// need.
    func hasPages(for tokens: Int, upTo placesMax: Int, in open: OpenModel) -> Bool {
        let cache = open.model.cache
        let growing = open.scheduler.running.count { $0.maySuspend }
        let spare = growing * cache.layout.pageCount(tokens: 1)
        return growing == 0
            || cache.layout.pageCount(tokens: firstPromise(tokens, upTo: placesMax)) + spare
                <= cache.pagesFree
    }
}
