// Everything that `sluiced` is told: command line over profile over environment.

internal import Glibc
internal import HTTPInterface
package import Knobs
package import Library
internal import LinuxSystem
internal import Memory

/// The daemon's configuration. Made anew when the profile is read again.
package struct DaemonConfiguration: Sendable {
    package var profile: Profile
    /// The profile's file; nil for the built-in defaults.
    package let profilePath: String?
    /// The command line's budget, which wins; nil without one.
    private let memoryBytes: UInt64?
    package let socketPath: String?
    /// Nobody named the socket's place: it is where the daemon's socket belongs.
    package let socketIsDefault: Bool
    package let library: ModelLibrary
    /// What the profile's author should know, in lines; no errors.
    package private(set) var notices: [String] = []
    /// Where what was measured of this machine is kept.
    package let measurementsPath: String
    /// Who may ask, as the profile says.
    private(set) var access = AccessPolicy()

    /// Reads the profile. `memoryBytes`, `socket` and `library` come from the command line and win.
    package init(
        profilePath: String?, memoryBytes: UInt64?, socket: String?, library: String?,
        places: Places = Places()
    ) throws(ConfigurationError) {
        let path = profilePath ?? places.profiles.first(where: Self.exists)
        self.profilePath = path
        (profile, notices) = try Self.read(path)
        self.memoryBytes = memoryBytes
        if let memoryBytes { profile.memory.budgetBytes = memoryBytes }
        socketPath = socket ?? profile.service.socketPath ?? places.daemonSocket
        socketIsDefault = socket == nil && profile.service.socketPath == nil
        measurementsPath = places.measurements
        self.library = ModelLibrary(
            directory: library ?? profile.service.modelsDirectory ?? places.library)
        try requireBudget()
        try requireSocketPath()
        try readAccess()
    }

    private mutating func readAccess() throws(ConfigurationError) {
        var reader = AccessReader(profile.access)
        access = try reader.policy()
        notices += reader.notices
    }

    /// What can be said of the socket without making it.
    private func requireSocketPath() throws(ConfigurationError) {
        guard let socketPath, let problem = BoundSocket.problem(ofPath: socketPath) else { return }
        throw ConfigurationError(file: "sluiced", problem)
    }

    private static func read(
        _ path: String?
    ) throws(ConfigurationError) -> (Profile, notices: [String]) {
        guard let path else { return (Profile(), []) }
        var notices: [String] = []
        let profile = try Profile(path: path) { notices.append($0) }
        return (profile, notices)
    }

    /// With less than the least, every request would be refused: better to say so once, at once.
    private func requireBudget() throws(ConfigurationError) {
        let least = MemoryLedger.bytesMin
        let budget = profile.memory.budgetBytes.map { Int(clamping: $0) } ?? .max
        let machine = MemoryLimits.smallestBytes()
        guard min(budget, machine) < least else { return }
        let source = budget < machine ? "the memory budget" : "the cgroup's memory limit"
        throw ConfigurationError(
            file: "sluiced",
            "\(source) is \(MemoryPlan.mebibytes(min(budget, machine))); the daemon alone needs "
                + "\(MemoryPlan.mebibytes(least)), and what a model needs comes on top "
                + "(sluice show MODEL --memory SIZE)")
    }

    private static func exists(_ path: String) -> Bool { unsafe Glibc.access(path, F_OK) == 0 }

    /// The profile read again, with what the command line had set.
    package func reloaded() throws(ConfigurationError) -> DaemonConfiguration {
        guard let profilePath else { return self }
        var changed = self
        (changed.profile, changed.notices) = try Self.read(profilePath)
        if let memoryBytes { changed.profile.memory.budgetBytes = memoryBytes }
        try changed.readAccess()
        return changed
    }
}
