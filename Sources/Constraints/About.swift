// What an answer may be: GBNF and JSON Schema as automata over bytes, and these over vocabularies.
// Bounded in size, depth and memory, whatever a client sends.
// No logits, no model's name and nothing of HTTP may enter.
