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
    /// The client of a connection: its process, and its user. nil when the kernel does not say, for
    /// instance for a process in another namespace.
    static func identify(_ channel: any Channel) -> EventLoopFuture<ClientID?> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(nil)
        }
        let credentials: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
            level: .socket, name: .init(rawValue: SO_PEERCRED))
        return credentials.map { credentials in
            credentials.process > 0
                ? ClientID(rawValue: UInt64(credentials.process), user: credentials.user) : nil
        }.recover { _ in nil }
    }
}
