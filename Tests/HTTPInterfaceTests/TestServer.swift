// The real server on a real Unix socket, and a client that sends whatever bytes a test wants.

import GenerationAPI
import Glibc
import HTTPInterface
import JSON
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// A server in its own temporary directory. `stop()` ends it.
final class TestServer: Sendable {
    let service = FakeService()
    let server: HTTPServer
    let path: String
    private let group: MultiThreadedEventLoopGroup
    private let directory: String
    private let recorder = Recorder()
    private let clients: ClientSource

    var records: [RequestRecord] { recorder.all }

    init(_ limits: HTTPLimits = HTTPLimits(), access: AccessPolicy = AccessPolicy()) throws {
        var template = Array("/tmp/sluice-http.XXXXXX".utf8CString)
        directory = unsafe String(cString: mkdtemp(&template))
        path = directory + "/s"
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let recorder = self.recorder
        var configuration = HTTPServerConfiguration(
            now: { 1_700_000_000 }, onRequest: { record in recorder.add(record) })
        configuration.limits = limits
        configuration.access = access
        configuration.identifyGroups = { $0.eventLoop.makeSucceededFuture([1000, 7]) }
        let clients = ClientSource()
        self.clients = clients
        configuration.identify = { channel in
            channel.eventLoop.makeSucceededFuture(clients.client.withLock { $0 })
        }
        server = HTTPServer(
            service: service, configuration: configuration, eventLoop: group.next())
        try server.listen(descriptor: UnixSocket.listen(path), group: group)
    }

    private final class Recorder: Sendable {
        private let records = Mutex<[RequestRecord]>([])
        func add(_ record: RequestRecord) { records.withLock { $0.append(record) } }
        var all: [RequestRecord] { records.withLock { $0 } }
    }

    func stop() {
        try? server.beginDrain(keepsListening: false)
        try? server.closeAll()
        try? group.syncShutdownGracefully()
        unsafe unlink(path)
        unsafe rmdir(directory)
    }

    private final class ClientSource: Sendable {
        let client = Mutex<ClientID?>(nil)
    }

    func connect() throws -> UnixSocket { try UnixSocket(path) }

    /// Who the connections that are accepted from here on are from.
    func identify(as client: UInt64, user: UInt32? = nil) {
        clients.client.withLock { $0 = ClientID(rawValue: client, user: user) }
    }

    /// Starts a request of plain completion on a connection of its own.
    func complete(_ prompt: String, _ more: String = "") throws -> UnixSocket {
        let socket = try connect()
        let body = "{\"prompt\":\"\(prompt)\"\(more)}"
        try socket.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)"
                + "\r\n\r\n\(body)")
        return socket
    }

    /// Sends one request and reads until the server closes.
    func request(_ method: String, _ target: String, _ body: String? = nil) throws -> Reply {
        let socket = try connect()
        var text = "\(method) \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
        try socket.send(text + "\r\n" + (body ?? ""))
        return Reply(socket.readToEnd())
    }

    func chat(_ prompt: String, _ more: String = "") throws -> Reply {
        try request(
            "POST", "/v1/chat/completions",
            "{\"messages\":[{\"role\":\"user\",\"content\":\"\(prompt)\"}]\(more)}")
    }

    /// Sends raw bytes and reads until the server closes.
    func raw(_ text: String) throws -> Reply {
        let socket = try connect()
        try socket.send(text)
        return Reply(socket.readToEnd())
    }
}

/// What came back, chunked coding undone.
struct Reply {
    var status = 0
    var headers: [String: String] = [:]
    var body = ""

    init(_ text: String) {
        guard let split = text.firstRange(of: "\r\n\r\n") else { return }
        let lines = text[..<split.lowerBound].split(separator: "\r\n")
        status = lines.first.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") } ?? 0
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            headers[pair[0].lowercased()] = String(pair.last ?? "").trimmingSpaces()
        }
        body = String(text[split.upperBound...])
        if headers["transfer-encoding"] == "chunked" { body = Self.dechunk(body) }
    }

    private static func dechunk(_ text: String) -> String {
        var rest = Array(text.utf8)[...]
        var result: [UInt8] = []
        while let newline = rest.firstRange(of: [0x0D, 0x0A]),
            let size = Int(String(decoding: rest[..<newline.lowerBound], as: UTF8.self), radix: 16),
            size > 0, rest.distance(from: newline.upperBound, to: rest.endIndex) >= size + 2
        {
            let end = newline.upperBound + size
            result += rest[newline.upperBound..<end]
            rest = rest[(end + 2)...]
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The stream's events, comments left out.
    var events: [String] {
        body.split(separator: "\n\n").filter { $0.hasPrefix("data: ") }.map {
            String($0.dropFirst(6))
        }
    }

    var json: JSONValue { (try? JSONParser.parse(Array(body.utf8))) ?? .null }
}

extension String {
    func trimmingSpaces() -> String { String(drop { $0 == " " }) }
}

/// A blocking Unix stream socket. Reading gives up after ten seconds, so that a hang is a failure.
final class UnixSocket: @unchecked Sendable {
    let descriptor: CInt
    private var isOpen = true

    static func withAddress<Result>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: path.utf8)
        }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    static func listen(_ path: String) throws -> CInt {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let bound = unsafe withAddress(path) { unsafe bind(descriptor, $0, $1) }
        guard bound == 0, Glibc.listen(descriptor, 4096) == 0 else { throw Failure.socket(errno) }
        return descriptor
    }

    enum Failure: Error { case socket(Int32) }

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        let connected = unsafe Self.withAddress(path) { unsafe connect(descriptor, $0, $1) }
        guard connected == 0 else { throw Failure.socket(errno) }
    }

    deinit { close() }

    func close() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
    }

    func closeSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { bytes in
                uninterrupted {
                    unsafe Glibc.send(
                        descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
                }
            }
            guard count > 0 else { throw Failure.socket(errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends without waiting as much as there is room for; gives up when there was none for half a
    /// second. Returns how many bytes were taken.
    func sendUntilFull(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        var sent = 0
        var tries = 0
        while sent < bytes.count, tries < 50 {
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(
                    descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
                tries = 0
            } else {
                tries += 1
                usleep(10_000)
            }
        }
        return sent
    }

    /// What one read gives; empty at the end, nil on an error or after ten seconds.
    func read() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = uninterrupted { unsafe recv(descriptor, &buffer, buffer.count, 0) }
        return count < 0 ? nil : Array(buffer[..<count])
    }

    func readToEnd() -> String {
        var bytes: [UInt8] = []
        while let piece = read(), !piece.isEmpty { bytes += piece }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads until the text so far contains `mark`.
    func read(until mark: String) -> String {
        var text = ""
        while !text.contains(mark), let piece = read(), !piece.isEmpty {
            text += String(decoding: piece, as: UTF8.self)
        }
        return text
    }
}

/// Waits for something that another thread brings about; gives up after ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
        if condition() { return true }
        usleep(1000)
    }
    return condition()
}
