// The socket that the daemon makes itself. A stale one is healed, a live one is never stolen, and
// nothing but a socket of ours is ever removed.

internal import Glibc
package import LinuxSystem

/// Why the socket could not be had.
package struct SocketError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Reason: Sendable {
        /// The path cannot be a socket's: too long, or something else is there.
        case unusablePath
        /// Another daemon has it.
        case inUse
        case notPermitted
        case system
    }

    package let reason: Reason
    package let description: String
}

/// A listening Unix socket of our own, with the lock that keeps other daemons away from its path.
/// `remove()` takes it away again; the lock file stays, for removing it would race.
package final class BoundSocket: Sendable {
    package let path: String
    /// Listening, non-blocking. Whoever serves it closes it.
    package let descriptor: CInt
    private let lock: CInt
    private let file: FileStatus

    /// Longest path: sockaddr_un(7) holds 108 bytes with the NUL.
    package static let pathBytesMax = 107
    private static let backlog: CInt = 4096

    /// Binds and listens. `mode` holds from the socket's first moment on: the process's umask is
    /// set meanwhile, so other threads must not make files at the same time. With `makesDirectory`,
    /// a missing directory is made.
    package init(
        path: String, mode: UInt32, makesDirectory: Bool = false
    ) throws(SocketError) {
        if let problem = Self.problem(ofPath: path) {
            throw SocketError(reason: .unusablePath, description: problem)
        }
        self.path = path
        try Self.requireDirectory(of: path, isMade: makesDirectory)
        _ = try Self.hasSocket(path)
        lock = try Self.takeLock(path + ".lock")
        do throws(SocketError) {
            try Self.clear(path)
            (descriptor, file) = try Self.bind(path, mode: mode)
        } catch {
            close(lock)
            throw error
        }
    }

    deinit { close(lock) }

    /// Why no socket can be at `path`, whatever is there; nil where one can.
    package static func problem(ofPath path: String) -> String? {
        if path.contains("://") {
            return "'\(path)' is an address: sluiced listens on a Unix socket, and takes its path"
        }
        guard !path.isEmpty, path.utf8.count <= pathBytesMax, !path.utf8.contains(0) else {
            return "'\(path)': a socket's path has 1 to \(pathBytesMax) bytes"
        }
        return nil
    }

    /// Removes the socket's path, if it still is this socket, and gives up the lock at the end of
    /// this object's life.
    package func remove() {
        guard let now = try? SystemCalls.status(path), now.isSameFile(as: file) else { return }
        try? FileSystem.remove(path)
    }

    private static func failure(_ call: String, _ path: String) -> SocketError {
        let number = errno
        let reason: SocketError.Reason =
            number == EACCES || number == EPERM ? .notPermitted : .system
        return SocketError(
            reason: reason,
            description: "\(SystemError(call, errorNumber: number, subject: path))")
    }

    /// Without its directory no socket can be; the lock file's open(2) would say less clearly so.
    private static func requireDirectory(of path: String, isMade: Bool) throws(SocketError) {
        let directory = FileSystem.parent(of: path)
        guard !FileSystem.exists(directory) else { return }
        guard isMade else {
            throw SocketError(
                reason: .unusablePath,
                description:
                    "\(path): there is no directory \(directory); make it, or name another "
                    + "place with --socket")
        }
        guard unsafe mkdir(directory, 0o755) == 0 || errno == EEXIST else {
            throw failure("mkdir", directory)
        }
    }

    private static func takeLock(_ path: String) throws(SocketError) -> CInt {
        let descriptor = unsafe open(
            path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw failure("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let isHeld = errno == EWOULDBLOCK
            let error = failure("flock", path)
            close(descriptor)
            guard isHeld else { throw error }
            throw SocketError(
                reason: .inUse, description: "\(path): another daemon holds this socket")
        }
        return descriptor
    }

    /// Whether there is a socket at `path`. Anything else there is refused.
    private static func hasSocket(_ path: String) throws(SocketError) -> Bool {
        let found: FileStatus
        do throws(SystemError) {
            found = try SystemCalls.status(path)
        } catch {
            if error.errorNumber == ENOENT { return false }
            errno = error.errorNumber
            throw failure("stat", path)
        }
        guard found.kind == .socket else {
            throw SocketError(
                reason: .unusablePath,
                description: "\(path): exists and is not a socket; it was left alone")
        }
        return true
    }

    /// Removes a socket that nobody answers on.
    private static func clear(_ path: String) throws(SocketError) {
        guard try hasSocket(path) else { return }
        let probe = socket(AF_UNIX, streamType, 0)
        guard probe >= 0 else { throw failure("socket", path) }
        defer { close(probe) }
        let answered = try connect(probe, path)
        guard !answered else {
            throw SocketError(
                reason: .inUse, description: "\(path): a live server answers on this socket")
        }
        guard unsafe unlink(path) == 0 else { throw failure("unlink", path) }
    }

    private static var streamType: CInt {
        CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
    }

    /// Whether somebody listens at `path`.
    private static func connect(_ probe: CInt, _ path: String) throws(SocketError) -> Bool {
        let result = unsafe try withAddress(path) { unsafe Glibc.connect(probe, $0, $1) }
        if result == 0 { return true }
        switch errno {
        case ECONNREFUSED: return false
        // A full backlog has a listener; a wrong type is somebody else's socket.
        case EAGAIN, EPROTOTYPE: return true
        default: throw failure("connect", path)
        }
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SocketError) -> CInt {
        do throws(SystemError) {
            return unsafe try SystemCalls.withAddress(path, body)
        } catch {
            throw SocketError(reason: .unusablePath, description: "\(error)")
        }
    }

    private static func bind(
        _ path: String, mode: UInt32
    ) throws(SocketError) -> (CInt, FileStatus) {
        let descriptor = socket(AF_UNIX, streamType, 0)
        guard descriptor >= 0 else { throw failure("socket", path) }
        let previous = umask(mode_t(0o777 & ~mode))
        let bound: CInt
        do throws(SocketError) {
            bound = unsafe try withAddress(path) { unsafe Glibc.bind(descriptor, $0, $1) }
        } catch {
            umask(previous)
            close(descriptor)
            throw error
        }
        umask(previous)
        guard bound == 0, listen(descriptor, backlog) == 0,
            let file = try? SystemCalls.status(path)
        else {
            let error = failure("bind", path)
            close(descriptor)
            throw error
        }
        return (descriptor, file)
    }
}

extension SocketError: EndingError {
    package var exitStatus: ExitStatus {
        switch reason {
        case .unusablePath: .badConfiguration
        case .inUse: .tryAgain
        case .notPermitted: .notPermitted
        case .system: .inputOutput
        }
    }
}
