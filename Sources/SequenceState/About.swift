// What is remembered of texts: pages of keys and values from one pool, which sequence has which of
// them, and prefixes that are found again. Knows positions and tokens; computes nothing, and knows
// no layer's weights and no request.
