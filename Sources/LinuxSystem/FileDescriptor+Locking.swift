// A file for one process at a time.

internal import Glibc

extension FileDescriptor {
    /// Takes the file for whoever has this descriptor, until it is closed (flock(2)). Advisory:
    /// others that ask are refused.
    ///
    /// - Returns: false when somebody else has it.
    package func lockForThisProcess() throws(SystemError) -> Bool {
        while flock(rawValue, LOCK_EX | LOCK_NB) != 0 {
            let number = errno
            if number == EWOULDBLOCK { return false }
            if number != EINTR {
                throw SystemError("flock", errorNumber: number, subject: path)
            }
        }
        return true
    }
}
