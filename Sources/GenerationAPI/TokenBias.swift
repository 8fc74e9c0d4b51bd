/// What a request adds to the logit of one token (OpenAI's `logit_bias`).
package struct TokenBias: Sendable, Equatable {
    /// Most of one request.
    package static let countMax = 1024

    package var token: Int32
    /// Minus infinity where the token is never to be chosen.
    package var value: Float

    package init(token: Int32, value: Float) {
        self.token = token
        self.value = value
    }
}
