// What is given to functions, methods, filters and tests.

/// Arguments of a call, evaluated.
struct JinjaArguments {
    var positional: [JinjaValue] = []
    var keywords: [(name: String, value: JinjaValue)] = []

    /// The arguments by the names of their parameters.
    func bound(to parameters: String..., in function: String) throws(JinjaFault) -> [JinjaValue?] {
        guard positional.count <= parameters.count else {
            throw .failed(
                "\(function) takes at most \(parameters.count) arguments, found "
                    + "\(positional.count)")
        }
        var values: [JinjaValue?] =
            positional
            + [JinjaValue?](
                repeating: nil, count: parameters.count - positional.count)
        for (name, value) in keywords {
            guard let place = parameters.firstIndex(of: name), values[place] == nil else {
                throw .failed("\(function) has no use for an argument '\(name.prefix(40))'")
            }
            values[place] = value
        }
        return values
    }
}
