// The one place that says which Sluice this is.

/// The version of the programs, said by `--version`, in the log and to clients.
package enum SluiceVersion {
    /// Semantic versioning (semver.org).
    package static let current = "0.1.0"
}
