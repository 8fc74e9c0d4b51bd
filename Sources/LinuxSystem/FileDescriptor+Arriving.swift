// Bytes that arrive over time, from a pipe or a terminal, and pipes of our own.

internal import Glibc

extension FileDescriptor {
    /// Another descriptor of what this process was given as `descriptor` (dup(2)).
    ///
    /// - Parameter name: for messages.
    package init(duplicating descriptor: Int32, name: String) throws(SystemError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw SystemError("open", errorNumber: errno, subject: name) }
        self.init(taking: copy, name: name)
    }

    /// Reads what has arrived, at least a byte, and waits for it if need be (poll(2), read(2)).
    ///
    /// - Returns: the number of bytes read, 0 at the end; nil where nothing arrived in that time.
    package func readArriving(
        into buffer: inout MutableRawSpan, within milliseconds: Int32
    ) throws(SystemError) -> Int? {
        var request = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
        let ready = unsafe poll(&request, 1, milliseconds)
        if ready < 0, errno != EINTR, errno != EAGAIN {
            throw SystemError("poll", errorNumber: errno, subject: path)
        }
        guard ready > 0 else { return nil }
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe Glibc.read(rawValue, bytes.baseAddress, bytes.count)
        }
        if count >= 0 { return count }
        let number = errno
        if SystemError.isTransient(number) { return nil }
        throw SystemError("read", errorNumber: number, subject: path)
    }

    /// A pipe of our own (pipe(2)).
    static func pipe(_ name: String) throws(SystemError) -> Pipe {
        var ends: [Int32] = [-1, -1]
        guard unsafe Glibc.pipe(&ends) == 0 else {
            throw SystemError("pipe", errorNumber: errno, subject: name)
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return Pipe(
            readEnd: FileDescriptor(taking: ends[0], name: name),
            writeEnd: FileDescriptor(taking: ends[1], name: name))
    }

    /// Both ends of a pipe.
    struct Pipe: ~Copyable {
        let readEnd: FileDescriptor
        let writeEnd: FileDescriptor
    }
}
