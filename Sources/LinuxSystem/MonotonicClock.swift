internal import Glibc

/// CLOCK_MONOTONIC (clock_gettime(2)): for measuring, never for dates.
package enum MonotonicClock {
    package static var nanoseconds: UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    package static var microseconds: UInt64 { nanoseconds / 1000 }
}
