// What is known of a machine: its drive, its memory, its processor.

/// What is known of a machine.
package struct MachineSpeeds: Sendable {
    package var drive: DriveProfile?
    package var memoryBytesPerSecond: Double?
    /// Products of a weight and an activation, in matrix products of many tokens.
    package var multiplyAddsPerSecond: Double?
    /// ``FlashOptions/gapBytesMax`` as it will be; nil leaves it as it is.
    package var gapBytesMax: Int?

    package init(
        drive: DriveProfile? = nil, memoryBytesPerSecond: Double? = nil,
        multiplyAddsPerSecond: Double? = nil, gapBytesMax: Int? = nil
    ) {
        self.drive = drive
        self.memoryBytesPerSecond = memoryBytesPerSecond
        self.multiplyAddsPerSecond = multiplyAddsPerSecond
        self.gapBytesMax = gapBytesMax
    }
}
