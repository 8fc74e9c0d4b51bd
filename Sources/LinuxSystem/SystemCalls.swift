// The few system calls that a service's life needs: small files, sockets' addresses, limits, the
// calendar, the environment.

package import Glibc

/// Thin, checked wrappers; each throws `SystemError` naming call and path.
package enum SystemCalls {
    /// A pipe brings something within this time, or ends.
    private static let pipeMillisecondsMax: CInt = 5000

    /// A whole small file. Throws EFBIG beyond `bytesMax`, and ETIMEDOUT for a pipe that nobody
    /// writes to.
    package static func readFile(_ path: String, bytesMax: Int) throws(SystemError) -> [UInt8] {
        // Opening a pipe would wait for a writer.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemError("open", errorNumber: errno, subject: path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var isPipe = false
        if let status = try? status(descriptor: descriptor) {
            bytes.reserveCapacity(Int(clamping: min(status.bytes, UInt64(bytesMax))))
            isPipe = status.kind == .pipe
        }
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            if isPipe { try waitForPipe(descriptor, path) }
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read", errorNumber: errno, subject: path) }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= bytesMax else {
                throw SystemError("read", errorNumber: EFBIG, subject: path)
            }
            bytes += buffer[..<count]
        }
    }

    private static func waitForPipe(_ descriptor: CInt, _ path: String) throws(SystemError) {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let count = unsafe poll(&wanted, 1, pipeMillisecondsMax)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw SystemError("read", errorNumber: ETIMEDOUT, subject: path)
            }
            return
        }
    }

    /// What is at a path, symbolic links not followed.
    package static func status(_ path: String) throws(SystemError) -> FileStatus {
        var info = stat()
        guard unsafe lstat(path, &info) == 0 else {
            throw SystemError("stat", errorNumber: errno, subject: path)
        }
        return FileStatus(info)
    }

    package static func status(descriptor: CInt) throws(SystemError) -> FileStatus {
        var info = stat()
        guard unsafe fstat(descriptor, &info) == 0 else {
            throw SystemError("fstat", errorNumber: errno)
        }
        return FileStatus(info)
    }

    /// Calls `body` with a Unix socket's address; a leading `@` is the abstract namespace.
    /// Throws ENAMETOOLONG for paths beyond 107 bytes.
    package static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SystemError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        guard bytes.count <= 107, !bytes.contains(0) else {
            throw SystemError("connect", errorNumber: ENAMETOOLONG, subject: path)
        }
        let isAbstract = bytes.first == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        // An abstract name is as long as the address says; a path ends at its NUL.
        let length = MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1)
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(length))
            }
        }
    }

    /// Raises the soft limit of open files to `wanted`, or as far as the hard limit lets (see
    /// getrlimit(2)), and returns what holds now.
    package static func raiseDescriptorLimit(to wanted: Int) -> Int {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return wanted }
        let target = min(UInt64(wanted), UInt64(limit.rlim_max))
        if limit.rlim_cur < target {
            var raised = limit
            raised.rlim_cur = rlim_t(target)
            if unsafe setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Makes the queue of a listening socket as long as the system lets (listen(2)).
    package static func lengthenQueue(_ listener: CInt) throws(SystemError) {
        guard listen(listener, 4096) == 0 else {
            throw SystemError("listen", errorNumber: errno)
        }
    }

    /// A write beyond the limit of files' sizes is, on the calling thread, an error (EFBIG) and not
    /// the process's end (SIGXFSZ, setrlimit(2)).
    static func ignoreFileSizeSignal() {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGXFSZ)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Whether this process may do everything.
    package static var isRoot: Bool { geteuid() == 0 }

    /// Seconds since 1970.
    package static func now() -> Int64 { Int64(time(nil)) }

    /// An environment variable that is set and not empty.
    package static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }
}

/// The part of stat(2) that is used here.
package struct FileStatus: Equatable {
    package enum Kind { case regular, directory, socket, pipe, other }

    package let kind: Kind
    package let device: UInt64
    package let inode: UInt64
    package let bytes: UInt64
    /// How many names it has.
    package let linkCount: Int
    /// Seconds since 1970.
    package let modified: Int64

    package init(_ info: stat) {
        kind =
            switch info.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .directory
            case S_IFSOCK: .socket
            case S_IFIFO: .pipe
            default: .other
            }
        device = UInt64(info.st_dev)
        inode = UInt64(info.st_ino)
        bytes = UInt64(max(0, info.st_size))
        linkCount = Int(info.st_nlink)
        modified = Int64(info.st_mtim.tv_sec)
    }

    package func isSameFile(as other: FileStatus) -> Bool {
        device == other.device && inode == other.inode
    }
}

/// The error numbers that connecting tells apart.
package enum ErrorNumber {
    case noSuchFile
    case refused
    case notPermitted
    case other

    package init(_ number: CInt) {
        self =
            switch number {
            case ENOENT: .noSuchFile
            case ECONNREFUSED: .refused
            case EACCES, EPERM: .notPermitted
            default: .other
            }
    }
}
