// Who may ask, as a profile says it, in words for whoever looks at it.

extension Profile.Access {
    /// What is on, as names and values.
    package var summary: [(name: String, value: String)] {
        var rows = [("who may ask", whoMayAsk)]
        let limits = [
            requestsPerUserMax.map { "\($0) requests at once" },
            queuePerUserMax.map { "\($0) waiting" }
        ].compactMap(\.self)
        if !limits.isEmpty { rows.append(("each user", limits.joined(separator: ", "))) }
        let source = tokensFile ?? "the credential sluice-tokens, if there is one"
        let asked = tokensRequired ? "everybody" : "the bridge"
        rows.append(("tokens", "of \(asked), from \(source)"))
        rows.append(("the bridge", bridgeUsers.isEmpty ? "nobody" : bridgeUsers))
        rows.append(("its names", hosts.isEmpty ? "none" : hosts))
        rows.append(("pages of", origins.isEmpty ? "no other origin" : origins))
        return rows
    }

    private var whoMayAsk: String {
        guard !users.isEmpty || !groups.isEmpty else { return "whoever may open the socket" }
        let lists = [
            users.isEmpty ? nil : "users \(users)", groups.isEmpty ? nil : "groups \(groups)"
        ]
        return "root, the service, " + lists.compactMap(\.self).joined(separator: ", ")
    }
}
