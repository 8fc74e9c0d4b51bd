// What is known of a machine: its drive, its memory.

/// What is known of a machine.
package struct MachineSpeeds: Sendable {
    package var drive: DriveProfile?
    package var memoryBytesPerSecond: Double?
    /// ``FlashOptions/gapBytesMax`` as it will be; nil leaves it as it is.
    package var gapBytesMax: Int?

    package init(
        drive: DriveProfile? = nil, memoryBytesPerSecond: Double? = nil, gapBytesMax: Int? = nil
    ) {
        self.drive = drive
        self.memoryBytesPerSecond = memoryBytesPerSecond
        self.gapBytesMax = gapBytesMax
    }
}
