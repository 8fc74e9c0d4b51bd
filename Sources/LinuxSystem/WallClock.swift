internal import Glibc

/// CLOCK_REALTIME (clock_gettime(2)): for dates, never for measuring.
package enum WallClock {
    package static var secondsSince1970: Int {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec
    }
}
