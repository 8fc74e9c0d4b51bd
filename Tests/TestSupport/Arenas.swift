// Memory for tests, which have no limit of their own.

package import LinuxSystem
package import Memory

extension MemoryArena {
    /// Memory from a ledger that refuses nothing.
    package convenience init(byteCount: Int) throws(SystemError) {
        try self.init(byteCount: byteCount, for: .measuring, in: .unlimited())
    }
}

extension MemoryReservation {
    /// Of a ledger that refuses nothing.
    package static func unlimited(_ byteCount: Int) throws -> MemoryReservation {
        try MemoryLedger.unlimited().reserve(.measuring, byteCount)
    }
}
