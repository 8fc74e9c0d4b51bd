// Everything that `sluiced` is told: command line over profile over environment.

internal import Glibc
internal import LinuxSystem

/// The daemon's configuration. Made anew when the profile is read again.
package struct DaemonConfiguration: Sendable {
    package var profile: Profile
    /// The profile's file; nil for the built-in defaults.
    package let profilePath: String?
    package let socketPath: String?
    package let library: ModelLibrary
    /// Where what was measured of this machine is kept.
    package let measurementsPath: String

    /// Reads the profile. `memoryBytes`, `socket` and `library` come from the command line and win.
    package init(
        profilePath: String?, memoryBytes: UInt64?, socket: String?, library: String?,
        places: Places = Places()
    ) throws(ConfigurationError) {
        let path = profilePath ?? Self.existing(Places.systemProfile)
        self.profilePath = path
        profile =
            try path.map { path throws(ConfigurationError) in try Profile(path: path) }
            ?? Profile()
        if let memoryBytes { profile.memory.budgetBytes = memoryBytes }
        socketPath = socket ?? profile.service.socketPath ?? places.daemonSocket
        measurementsPath = places.measurements
        self.library = ModelLibrary(
            directory: library ?? profile.service.modelsDirectory ?? places.library)
    }

    private static func existing(_ path: String) -> String? {
        unsafe access(path, F_OK) == 0 ? path : nil
    }

    /// The profile read again, with what the command line had set.
    package func reloaded() throws(ConfigurationError) -> DaemonConfiguration {
        guard let profilePath else { return self }
        var changed = self
        let budget = profile.memory.budgetBytes
        changed.profile = try Profile(path: profilePath)
        changed.profile.memory.budgetBytes = budget
        return changed
    }
}
