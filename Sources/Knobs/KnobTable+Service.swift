// Knobs of the daemon: where it listens, who may connect, what it serves, how it ends.

extension KnobTable {
    static let service = [
        Knob(
            "service.socket", \.service.socketPath, Form.text("a path", placeholder: "path"),
            effect: """
                Socket to listen on when systemd does not hand one over.
                Empty: $RUNTIME_DIRECTORY/sluice.sock under systemd, else
                $XDG_RUNTIME_DIR/sluice.sock, else, for root, /run/sluice/sluice.sock. The command
                line's --socket wins over it.
                """
        ).option("socket"),
        Knob(
            "service.socket_mode", \.service.socketMode, Form.mode, unit: "permission bits",
            effect: """
                Who may connect: the socket's permission bits.
                Under systemd, sluiced.socket says so instead.
                """),
        Knob(
            "service.queue_max", \.service.queueMax, Form.integer(1...100_000), unit: "requests",
            effect: """
                Requests that may wait; further ones are answered 429.
                A small budget allows fewer: its share for connections decides.
                """
        ).reloaded,
        Knob(
            "service.sessions_max", \.service.sessionsMax,
            Form.integer(Profile.Service.sessionsRange).orAuto, unit: "requests",
            effect: """
                Requests that are worked on at once; others wait their turn.
                Each step reads weights once for all of them. They share the KV pages: where these
                run out, the latest gives up its own and goes on later, with the same answer. "auto"
                is up to four where that costs little memory; `sluice show` says how many.
                """
        ).ofModels,
        Knob(
            "service.keep_alive_seconds", \.service.keepAliveSeconds,
            Form.integer(0...(1 << 30)).orOff, unit: "seconds",
            effect: """
                How long a model stays in memory that nobody uses; then the memory is given back.
                "off": until another model needs it. Several stay at once where they do not get in
                each other's way. A request may say its own: Ollama's keep_alive.
                """
        ).reloaded,
        Knob(
            "service.models_directory", \.service.modelsDirectory,
            Form.text("a path", placeholder: "dir"),
            effect: """
                Directory of packed models: the library.
                Empty: $STATE_DIRECTORY/models under systemd, else $XDG_DATA_HOME/sluice/models. The
                command line's --library wins over it.
                """
        ).option("library"),
        Knob(
            "service.default_model", \.service.defaultModel, Form.modelName,
            effect: """
                The model for requests that name none.
                Empty: the library's only model.
                """),
        Knob(
            "service.drain_seconds", \.service.drainSeconds, Form.integer(0...3600),
            unit: "seconds",
            effect: "How long running answers may take to finish when the daemon is told to stop."
        ).reloaded,
        Knob(
            "service.log_level", \.service.logLevel, Form.choice(LogLevel.self),
            effect: """
                How much is logged.
                Prompts and answers never are.
                """
        ).reloaded
    ]
}
