// libm's functions, so that the layers above need no other part of the C library.

internal import Glibc

/// Functions of the C library's mathematics, in double precision.
package enum Mathematics {
    package static func cosine(_ x: Double) -> Double { cos(x) }
    package static func sine(_ x: Double) -> Double { sin(x) }
    package static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
    package static func logarithm(_ x: Double) -> Double { log(x) }
    package static func exponential(_ x: Double) -> Double { exp(x) }
}
