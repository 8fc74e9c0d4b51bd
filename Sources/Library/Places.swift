// Where things are: library, socket, profile. For the service, systemd's directories; for a user,
// XDG's.

package import Knobs
internal import LinuxSystem

/// Default locations, from an environment that tests can replace.
package struct Places: Sendable {
    private let environment: @Sendable (String) -> String?
    private let isRoot: Bool

    /// The process's own.
    package init() { self.init(isRoot: SystemCalls.isRoot) { SystemCalls.environment($0) } }

    package init(isRoot: Bool, environment: @escaping @Sendable (String) -> String?) {
        self.isRoot = isRoot
        self.environment = environment
    }

    private static let systemSocket = "/run/sluice/sluice.sock"

    /// systemd lists several directories with colons between them; ours has one.
    private func managed(_ name: String) -> String? {
        environment(name)?.split(separator: ":").first.map(String.init)
    }

    /// Where the service keeps its models (its unit's StateDirectory=).
    package static let serviceLibrary = "/var/lib/sluice/models"

    /// Whether the environment names a library of the user's choice.
    package var namesLibrary: Bool { environment("SLUICE_LIBRARY") != nil }

    /// Where packed models are kept: `$SLUICE_LIBRARY`, else the service's own under systemd, else
    /// the user's.
    package var library: String {
        if let library = environment("SLUICE_LIBRARY") { return library }
        if let state = managed("STATE_DIRECTORY") { return state + "/models" }
        if let data = environment("XDG_DATA_HOME") { return data + "/sluice/models" }
        if let home = environment("HOME") { return home + "/.local/share/sluice/models" }
        return Self.serviceLibrary
    }

    /// Where what was found out about this machine is kept.
    package var state: String {
        if let state = managed("STATE_DIRECTORY") { return state }
        if let state = environment("XDG_STATE_HOME") { return state + "/sluice" }
        if let home = environment("HOME") { return home + "/.local/state/sluice" }
        return "/var/lib/sluice"
    }

    /// What was measured of drives and memory.
    package var measurements: String { state + "/measurements" }

    /// Where the daemon listens; nil when nothing says.
    package var daemonSocket: String? {
        if let runtime = managed("RUNTIME_DIRECTORY") { return runtime + "/sluice.sock" }
        if let runtime = environment("XDG_RUNTIME_DIR") { return runtime + "/sluice.sock" }
        return isRoot ? Self.systemSocket : nil
    }

    /// The sockets at which a client looks for the daemon, best first. Throws when `$SLUICE_HOST`
    /// is not of the form `unix:///path`.
    package func clientSockets() throws(ConfigurationError) -> [String] {
        if let host = environment("SLUICE_HOST") {
            let scheme = "unix://"
            guard host.hasPrefix(scheme + "/") else {
                throw ConfigurationError(
                    file: "SLUICE_HOST", "expected unix:///PATH, found '\(host)'")
            }
            return [String(host.dropFirst(scheme.count))]
        }
        let user = environment("XDG_RUNTIME_DIR").map { [$0 + "/sluice.sock"] } ?? []
        return user + [Self.systemSocket]
    }

    /// The profile that is read when none is named and the user has none, if it exists.
    package static let systemProfile = "/etc/sluice/sluice.toml"

    /// Where a profile is looked for when none is named, the first that exists. The service has the
    /// system's alone.
    package var profiles: [String] {
        guard managed("STATE_DIRECTORY") == nil else { return [Self.systemProfile] }
        let folder = environment("XDG_CONFIG_HOME") ?? environment("HOME").map { $0 + "/.config" }
        return (folder.map { [$0 + "/sluice/sluice.toml"] } ?? []) + [Self.systemProfile]
    }
}
