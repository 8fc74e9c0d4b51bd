// What `sluice import` and `sluice pull` are told alike.

internal import ArgumentParser
internal import Library
internal import Packing

/// How a model is packed, and under which name.
struct ImportOptions: ParsableArguments {
    @Option(help: "The model's name in the library; else the file's name.")
    var name: String?

    @OptionGroup var library: LibraryOptions

    @Flag(help: "Replace a model of the same name.")
    var force = false

    @Option(
        help: ArgumentHelp(
            "The nonlinearity, where the file's family has another: silu, gelu, relu or relu2.",
            valueName: "name"))
    var activation: ActivationArgument?

    @Option(
        help: ArgumentHelp(
            "Dense feed-forward weights by the neuron, so that a few of them can be read, or as "
                + "matrices. Unset: by the neuron where most are silent (relu, relu2).",
            valueName: "bundled|whole"))
    var neurons: NeuronPacking?

    /// The import of `source` that was asked for.
    func job(_ source: String) throws -> ImportJob {
        try ImportJob(
            sourcePath: source, libraryDirectory: library.value.directory, name: name,
            overwrite: force, activation: activation?.value, neurons: neurons)
    }
}
