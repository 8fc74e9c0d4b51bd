// Options of commands that run a model, and that are no knobs: each with the reason why a service
// cannot be told so.

extension KnobTable {
    /// An option that no profile can say.
    package struct CommandOption: Sendable {
        package let name: String
        /// Which commands have it.
        package let commands: String
        /// Why a profile has not.
        package let reason: String
    }

    package static let commandOptions = [
        CommandOption(
            name: "resident", commands: "all that run a model",
            reason: """
                for measurement: without a limit nothing keeps the machine from running out of \
                memory, which a service promises. A `memory.budget` that holds the model reads \
                nothing twice either
                """),
        CommandOption(
            name: "profile", commands: "all that run a model", reason: "names the profile"),
        CommandOption(
            name: "service", commands: "bench, show",
            reason: "makes a command divide its budget as the service always does"),
        CommandOption(
            name: "check", commands: "show", reason: "a job, not a way to run: reads every weight"
        ),
        CommandOption(
            name: "uniform-routing", commands: "bench",
            reason: "for measurement: experts at random, so that output means nothing"),
        CommandOption(
            name: "warm", commands: "bench",
            reason: "for measurement: the service keeps its caches between requests anyway"),
        CommandOption(
            name: "prompt", commands: "bench", reason: "for measurement: how much is computed"),
        CommandOption(
            name: "generate", commands: "bench, eval",
            reason: "for measurement; a request says `max_tokens`"),
        CommandOption(
            name: "runs", commands: "bench", reason: "for measurement: how often"),
        CommandOption(
            name: "ladder", commands: "bench",
            reason: """
                for measurement: switches parts of reading neurons off one after the other, each \
                of which only costs time
                """),
        CommandOption(
            name: "source", commands: "bench", reason: "the file that `--ladder` compares with"),
        CommandOption(
            name: "trace", commands: "bench, eval",
            reason: """
                for measurement: writes which experts each token chose, which tells much about \
                the text, and the service writes nothing about its clients' texts
                """),
        CommandOption(
            name: "tokens", commands: "eval", reason: "the text; a request brings its own"),
        CommandOption(
            name: "text", commands: "eval, bench, calibrate",
            reason: "the text; a request brings its own"),
        CommandOption(
            name: "file", commands: "eval", reason: "the text; a request brings its own"),
        CommandOption(
            name: "prompt-tokens", commands: "eval",
            reason: "for measurement: a request's prompt is one"),
        CommandOption(
            name: "without-sinks", commands: "eval",
            reason: "for measurement: what slides without its first tokens falls apart"),
        CommandOption(
            name: "recall", commands: "calibrate", reason: "a job that is done once for a model"),
        CommandOption(
            name: "keep-order", commands: "calibrate",
            reason: "a job that is done once for a model"),
        CommandOption(
            name: "local", commands: "run", reason: "whether there is a service at all"),
        CommandOption(name: "system", commands: "run", reason: "each request says it"),
        CommandOption(
            name: "max-tokens", commands: "run", reason: "each request says it: `max_tokens`"),
        CommandOption(name: "stop", commands: "run", reason: "each request says it: `stop`"),
        CommandOption(name: "seed", commands: "run", reason: "each request says it: `seed`"),
        CommandOption(name: "raw", commands: "run", reason: "each request says it by its route"),
        CommandOption(name: "drop-oldest", commands: "run", reason: "the client's own"),
        CommandOption(name: "no-history", commands: "run", reason: "the client's own"),
        CommandOption(name: "hide-thinking", commands: "run", reason: "the client's own"),
        CommandOption(name: "stats", commands: "run", reason: "the client's own"),
        CommandOption(
            name: "json", commands: "bench, eval", reason: "how a command prints"),
        CommandOption(name: "version", commands: "all", reason: "what a command prints"),
        CommandOption(name: "help", commands: "all", reason: "what a command prints")
    ]
}
