// Who is at the other end of a Unix connection, so that turns are taken between programs and not
// between connections.

internal import GenerationAPI
internal import Glibc
internal import NIOCore

/// What SO_PEERCRED gives: unix(7)'s `struct ucred`, which glibc shows to its own extensions only.
private struct PeerCredentials: Sendable {
    var process: Int32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
}

/// Reads SO_PEERCRED (unix(7)).
enum PeerIdentity {
    /// The client of a connection: its process, and its user. A process in another namespace has no
    /// number here, which is 0; its user has. nil when the kernel does not say.
    static func identify(_ channel: any Channel) -> EventLoopFuture<ClientID?> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(nil)
        }
        let credentials: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
            level: .socket, name: .init(rawValue: SO_PEERCRED))
        return credentials.map { credentials in
            credentials.user == .max
                ? nil
                : ClientID(
                    rawValue: UInt64(max(0, credentials.process)), user: credentials.user)
        }.recover { _ in nil }
    }

    /// As many groups as are read; the kernel refuses when there are more.
    private typealias Groups = InlineArray<1024, UInt32>

    /// Its groups when it connected, the first of which is its own. None when the kernel does not
    /// say. What follows the last is zeros, so that root's group, 0, is not told.
    static func groups(_ channel: any Channel) -> EventLoopFuture<[UInt32]> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture([])
        }
        let credentials: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
            level: .socket, name: .init(rawValue: SO_PEERCRED))
        let others: EventLoopFuture<Groups> = provider.unsafeGetSocketOption(
            level: .socket, name: .init(rawValue: SO_PEERGROUPS))
        let list = others.map { groups in groups.indices.map { groups[$0] }.filter { $0 != 0 } }
            .recover { _ in [] }
        return credentials.and(list).map { [$0.group] + $1 }.recover { _ in [] }
    }
}
