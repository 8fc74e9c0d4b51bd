// Files of models: GGUF, and our packed format with its manifest; their vocabularies and shapes.
// Parses bytes that nobody vouches for; what is wrong is a `FormatError` with its place.
// No policy and no computing may enter.
