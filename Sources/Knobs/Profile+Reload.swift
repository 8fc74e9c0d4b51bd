// What of a profile that is read again takes effect at once, what when a model is opened, and what
// waits for a restart.

extension Profile {
    /// Keys whose values differ from those the daemon was started with, and that only its next
    /// start takes over.
    package func changesThatWait(since start: Profile) -> [String] {
        KnobTable.all.filter { $0.takeover == .restart && $0.differs(self, start) }.map(\.key)
    }

    /// Whether models would be opened otherwise than by `other`.
    package func opensModels(unlike other: Profile) -> Bool {
        KnobTable.all.contains { $0.takeover == .opening && $0.differs(self, other) }
    }
}
