// `sluice ls`, `rm` and `ps`: which models there are, and which of them run.

internal import ArgumentParser
internal import Client
internal import GenerationAPI
internal import Glibc
internal import JSON
internal import Knobs
internal import Library
internal import LinuxSystem
internal import ModelFormat
internal import Packing

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "Lists the models that the daemon serves, or a library's.",
        discussion: """
            Without --library and $SLUICE_LIBRARY, and where a daemon answers, these are the \
            daemon's. Commands that need no daemon (show, rm, eval, bench and so on) look in \
            --library, else $SLUICE_LIBRARY, else in your own library.
            """,
        aliases: ["list"])

    @OptionGroup var daemon: DaemonOptions
    @OptionGroup var library: LibraryOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let rows = try rows()
        if !json, let notice = notice(rows) { Terminal.complain(notice) }
        if json { return Terminal.line(Self.json(rows)) }
        let cells = rows.map { row in
            [row.name, ByteSize.format(row.fileBytes), Terminal.date(row.modified)]
        }
        Terminal.write(Terminal.table([["NAME", "SIZE", "MODIFIED"]] + cells))
    }

    /// Where the rows come from, when it is not where other commands look.
    private func notice(_ rows: [ModelSummary]) -> String? {
        let own = library.value
        let names = ((try? own.list()) ?? []).map(\.name)
        guard names != rows.map(\.name) else {
            return rows.isEmpty ? "no models in \(own.directory): import one first" : nil
        }
        return "these are the daemon's models; yours are in \(own.directory) (--library)"
    }

    /// Without a daemon, the user's own library; a socket that was named must answer.
    private func rows() throws -> [ModelSummary] {
        if !library.isNamed {
            do {
                return try daemon.connect().models()
            } catch let error as DaemonClientError {
                if daemon.socket != nil { throw error }
            }
        }
        // Nothing is a library that nobody has used yet, unless it was named.
        if let named = library.library, !FileSystem.isDirectory(named) {
            throw LibraryError.system(SystemError("open", errorNumber: ENOENT, subject: named))
        }
        return try library.value.list().map { entry in
            ModelSummary(
                name: entry.name, fileBytes: entry.bytes, modified: entry.modified, isLoaded: false)
        }
    }

    static func json(_ models: [ModelSummary]) -> String {
        var text = Array("{\"models\":[".utf8)
        for (index, model) in models.enumerated() {
            text += (index > 0 ? ",{\"name\":" : "{\"name\":").utf8
            text.writeJSON(model.name)
            text += ",\"file_bytes\":\(model.fileBytes),".utf8
            text += "\"modified\":\(model.modified),\"loaded\":\(model.isLoaded)".utf8
            if let loaded = model.loaded {
                text += ",\"reads\":\"\(loaded.reads.rawValue)\"".utf8
                text += ",\"context_tokens\":\(loaded.contextTokens)".utf8
                text += ",\"context_tokens_in_memory\":\(loaded.hotTokens)".utf8
                text += ",\"kv_bits\":\(loaded.keyValueFormat.json)".utf8
                text += ",\"sessions_max\":\(loaded.sequencesMax)".utf8
                if let reason = loaded.readsReason {
                    text += ",\"reads_because\":".utf8
                    text.writeJSON(reason)
                }
                text += ",\"context_because\":".utf8
                text.writeJSON(loaded.contextReason)
            }
            text += "}".utf8
        }
        text += "]}".utf8
        return String(decoding: text, as: UTF8.self)
    }
}

struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm",
        abstract: "Deletes models from the library, and what unfinished pulls left of them.")

    @OptionGroup var library: LibraryOptions

    @Argument(help: "Names as `sluice ls` shows them.")
    var models: [String]

    func run() throws {
        var failure: (any Error)?
        for model in models {
            let hadUnfinished = ImportJob.discardUnfinished(model, in: library.value.directory)
            do {
                try library.explaining { try $0.remove(model) }
            } catch LibraryError.notFoundHere where hadUnfinished {
                Terminal.complain("\(model): the unfinished pull is dropped")
            } catch {
                // The others are deleted all the same.
                Terminal.complain("\(error)")
                failure = error
            }
        }
        if let failure { throw ExitCode(ExitStatus(failure).rawValue) }
    }
}

struct RunningCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "Lists the models that the daemon has loaded.")

    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let models = try daemon.connect().models().filter(\.isLoaded)
        if json { return Terminal.line(ListCommand.json(models)) }
        let cells = models.map { model in
            [model.name, model.architecture ?? "", ByteSize.format(model.fileBytes)]
                + Self.cells(model.loaded)
        }
        let heads = ["NAME", "ARCHITECTURE", "SIZE", "READS", "CONTEXT", "KV", "AT ONCE"]
        Terminal.write(Terminal.table([heads] + cells))
        for loaded in models.compactMap(\.loaded) {
            if loaded.hotTokens < loaded.contextTokens {
                Terminal.line("in memory: the latest \(loaded.hotTokens) tokens, of a longer text")
            }
            if let reason = loaded.readsReason { Terminal.line("neurons: \(reason)") }
            Terminal.line("context: \(loaded.contextReason)")
        }
    }

    /// How a model runs; empty cells where that is not told.
    private static func cells(_ loaded: LoadedModel?) -> [String] {
        guard let loaded else { return ["", "", "", ""] }
        return [
            loaded.reads.rawValue, "\(loaded.contextTokens)", "\(loaded.keyValueFormat) bits",
            "\(loaded.sequencesMax)"
        ]
    }
}
