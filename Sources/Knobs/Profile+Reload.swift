// What of a profile that is read again takes effect at once, and what waits for a restart.

extension Profile {
    /// Keys whose values differ from those the daemon was started with, and that only its next
    /// start takes over.
    package func changesThatWait(since start: Profile) -> [String] {
        KnobTable.all.filter { !$0.isReloaded && $0.differs(self, start) }.map(\.key)
    }
}
