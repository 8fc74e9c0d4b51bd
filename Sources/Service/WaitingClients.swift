// Clients at a socket that was handed over, when there will be no daemon: each gets an answer.

internal import GenerationAPI
internal import Glibc
internal import HTTPInterface
internal import NIOCore
internal import NIOHTTP1

/// Connections that wait to be accepted.
enum WaitingClients {
    /// Of a crowd, the rest learns it from the closed connection or the next start.
    private static let clientsMax = 256
    /// How long a request is waited for, in milliseconds.
    private static let requestMilliseconds: CInt = 200

    /// Answers everyone who waits at the listening, non-blocking `socket` that the service cannot
    /// start, and to try again later.
    static func refuse(at socket: CInt) {
        let failure = HTTPFailure(
            GenerationError(
                .draining, "the service cannot start; its log says why (journalctl -u sluiced)"))
        let answer = Array(whole(failure).readableBytesView)
        for _ in 0..<clientsMax {
            let client = accept(socket, nil, nil)
            guard client >= 0 else { return }
            takeRequest(client)
            _ = unsafe send(client, answer, answer.count, CInt(MSG_NOSIGNAL))
            close(client)
        }
    }

    /// Reads what has arrived: closing a connection with something unread would cut the answer.
    private static func takeRequest(_ client: CInt) {
        var ready = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&ready, 1, requestMilliseconds) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let flags = CInt(MSG_DONTWAIT)
        for _ in 0..<64 where unsafe recv(client, &buffer, buffer.count, flags) <= 0 { return }
    }

    private static func whole(_ failure: HTTPFailure) -> ByteBuffer {
        let body = failure.body
        var bytes = ByteBuffer(
            string: "HTTP/1.1 \(failure.status.code) \(failure.status.reasonPhrase)\r\n")
        for (name, value) in failure.headers { bytes.writeString("\(name): \(value)\r\n") }
        bytes.writeString("Connection: close\r\nContent-Length: \(body.readableBytes)\r\n\r\n")
        bytes.writeImmutableBuffer(body)
        return bytes
    }
}
