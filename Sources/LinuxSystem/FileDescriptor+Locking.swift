// A file for one process at a time.

internal import Glibc

extension FileDescriptor {
    /// Takes the file for whoever has this descriptor, until it is closed (flock(2)). Advisory:
    /// others that ask are refused.
    ///
    /// A lock lives as long as any copy of its descriptor: a child between fork and exec has one,
    /// and so has an io_uring that the kernel is still taking down, also after `kill -9`. So what
    /// somebody has is asked for again for `patienceMilliseconds`.
    ///
    /// - Returns: false when somebody else still has it then.
    package func lockForThisProcess(
        patienceMilliseconds: Int = 1000
    ) throws(SystemError) -> Bool {
        var askedAgain = 0
        while flock(rawValue, LOCK_EX | LOCK_NB) != 0 {
            let number = errno
            if number == EWOULDBLOCK {
                guard askedAgain < patienceMilliseconds / 10 else { return false }
                askedAgain += 1
                Thread.sleep(microseconds: 10_000)
            } else if number != EINTR {
                throw SystemError("flock", errorNumber: number, subject: path)
            }
        }
        return true
    }
}
