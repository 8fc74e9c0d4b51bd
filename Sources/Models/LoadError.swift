// Why a model could not be opened.

package import FlashStorage
package import LinuxSystem
package import Memory
package import ModelFormat
package import Tokenization

/// Why a model could not be opened.
package enum LoadError: Error, Sendable, CustomStringConvertible {
    case format(FormatError)
    case system(SystemError)
    case read(ReadFailure)
    case budget(BudgetError)
    /// What is needed was there when it was divided, and is not any more.
    case memory(MemoryError)
    case tokenizer(TokenizerError)
    /// What may be in memory of keys and values is too little for the least.
    case keyValueMemory(bytesMax: Int, needed: Int, contextTokens: Int)
    /// More positions than the model has.
    case contextBeyondModel(asked: Int, known: Int)

    package var description: String {
        switch self {
        case .format(let error): "\(error)"
        case .system(let error): "\(error)"
        case .read(let error): "\(error)"
        case .budget(let error): "\(error)"
        case .memory(let error): "\(error)"
        case .tokenizer(let error): "\(error)"
        case .keyValueMemory(let bytesMax, let needed, let contextTokens):
            "keys and values may take \(MemoryPlan.mebibytes(bytesMax)) (kv.memory_bytes_max), "
                + "and at least \(MemoryPlan.mebibytes(needed)) are needed in memory for a context "
                + "of \(contextTokens) tokens; fewer kv_bits or prefill_chunk_tokens need less"
        case .contextBeyondModel(let asked, let known):
            "the model's context is \(known) tokens; \(asked) are asked for"
        }
    }

    package init(_ error: FlashError) {
        switch error {
        case .format(let error): self = .format(error)
        case .system(let error): self = .system(error)
        case .read(let error): self = .read(error)
        }
    }
}

extension LoadError {
    /// Whether it would be another with more memory.
    package var isOfMemory: Bool {
        switch self {
        case .budget, .memory: true
        default: false
        }
    }
}

extension LoadError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .format, .tokenizer: .badData
        case .system(let error): error.exitStatus
        case .read(let failure): failure.exitStatus
        case .budget, .memory, .keyValueMemory: .badConfiguration
        case .contextBeyondModel: .usage
        }
    }
}
