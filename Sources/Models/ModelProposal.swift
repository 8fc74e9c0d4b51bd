// A model that may be opened: what its file says, and how memory would be divided for it now. No
// weight is read, and nothing is taken of the ledger.

internal import FlashStorage
internal import Memory
internal import ModelFormat

/// What opening a model would come to.
package struct ModelProposal {
    package let path: String
    let identity: ModelIdentity
    let parsed: ParsedModel
    package let division: Division
    /// What is wished for, as far as the model can do it.
    let options: ModelOptions
    private let knowledge: Knowledge

    /// Reads the file's directory, learns what there is to know of it and its drive, and divides
    /// what memory there is.
    ///
    /// - Throws: `LoadError`; `.budget` names every term when the least does not fit.
    package init(path: String, options: ModelOptions) throws(LoadError) {
        self.path = path
        identity = ModelIdentity(path: path)
        parsed = try ModelInstance.parse(
            path, keys: options.modelKeys, progress: options.flash.progress)
        try ModelInstance.check(parsed, options)
        self.options = options.adapted(to: parsed.model.manifest.shape)
        let share = self.options.share()
        knowledge = Knowledge(of: parsed, path: path, share: share, self.options)
        division = try Division.divide(
            parsed, share: share, knowledge: knowledge, wishes: self.options)
    }

    package var fileBytes: UInt64 { parsed.model.fileByteCount }

    /// Whether others that are open cost it nothing: alone it would keep no more of its weights in
    /// memory.
    package var isAsGoodAsAlone: Bool {
        guard let ledger = options.ledger,
            let alone = try? Division.divide(
                parsed, share: ledger.wholeShare, knowledge: knowledge, wishes: options)
        else { return true }
        func weights(_ division: Division) -> Int {
            division.budget.sumBytes(of: Division.weightTerms)
        }
        return weights(division) >= weights(alone)
            && division.contextTokens >= alone.contextTokens / 2
    }
}
