// The chat's line editor without its terminal: bytes to keys, keys to lines.
// A state machine that is tested against a small terminal.
// Nothing that reads or writes a terminal by itself may enter.
