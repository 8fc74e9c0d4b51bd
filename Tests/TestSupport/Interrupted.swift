// Calls that a signal cuts short: some tests send their process signals, others run beside them.

import Glibc

/// What a call of the C library gives that is made again where a signal ended it: at least 0, or
/// less with its reason in `errno`.
package func uninterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        guard result < 0, errno == EINTR else { return result }
    }
}
