// Text to tokens and tokens to text: byte-pair and SentencePiece encoders, streams, stops.
// Bounded memory for any text; ids follow a Unicode table of our own.
// No template of chats and nothing that runs a model may enter.
