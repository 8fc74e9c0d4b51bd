// Chats to the text that a model was trained on: its own Jinja template, executed within limits.
// What comes from users stays marked as theirs.
// No tokenizer rules and nothing of HTTP may enter.
