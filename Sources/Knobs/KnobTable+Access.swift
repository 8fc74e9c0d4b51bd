// Knobs of who may ask, and how much at once. What they mean is decided in HTTPInterface's
// AccessPolicy.

extension KnobTable {
    static let access = [
        Knob(
            "access.users", \.access.users, Form.accounts,
            effect: """
                Users that may ask, besides root and the service's own.
                Empty, with access.groups empty: whoever may open the socket. The kernel says who
                that is. Names are those of /etc/passwd; others are given by number. What comes over
                the bridge from TCP needs a token then.
                """
        ).reloaded,
        Knob(
            "access.groups", \.access.groups, Form.accounts,
            effect: """
                Groups whose members may ask, supplementary ones included.
                Names are those of /etc/group; others are given by number.
                """
        ).reloaded,
        Knob(
            "access.requests_per_user_max", \.access.requestsPerUserMax,
            Form.integer(1...100_000).orOff, unit: "requests",
            effect: """
                Requests that one user may have at once, waiting ones included.
                Further ones are answered 429. On the bridge each token is a user.
                """
        ).reloaded,
        Knob(
            "access.queue_per_user_max", \.access.queuePerUserMax,
            Form.integer(1...100_000).orOff, unit: "requests",
            effect: """
                Requests of one user that may wait, those among them that are about to begin.
                Further ones are answered 429.
                """
        ).reloaded,
        Knob(
            "access.tokens_file", \.access.tokensFile, Form.text("a path", placeholder: "path"),
            effect: """
                File of tokens, one on each line: who comes over the bridge must show one.
                Empty: systemd's credential sluice-tokens, where there is one. A line that begins
                with # says nothing; a token is 16 to 512 letters, digits and signs. Clients send
                `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`.
                """
        ).reloaded,
        Knob(
            "access.tokens_required", \.access.tokensRequired, Form.flag,
            effect: "Whether who connects to the socket itself must show a token, too."
        ).reloaded,
        Knob(
            "access.bridge_users", \.access.bridgeUsers, Form.accounts,
            effect: """
                Users whose connections come from elsewhere, by a proxy.
                Hosts, origins and tokens are asked of them. A web server in front of the socket
                belongs here.
                """
        ).reloaded,
        Knob(
            "access.hosts", \.access.hosts, Form.hosts,
            effect: """
                Names that requests over the bridge may call this machine by, whatever the port.
                Others are answered 403: a web page elsewhere could have its own name point here.
                """
        ).reloaded,
        Knob(
            "access.origins", \.access.origins, Form.origins,
            effect: """
                Origins of web pages that may ask, and read the answers (CORS).
                Empty: none. Over the bridge, pages of other origins are answered 403.
                """
        ).reloaded
    ]
}
