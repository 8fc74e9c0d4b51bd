// Answers as models write them, taken apart while they are generated: what is said, what was
// thought, and calls of tools. One description for each style, found in the model's chat template.
// No model's name, no token ids and nothing of HTTP may enter.
