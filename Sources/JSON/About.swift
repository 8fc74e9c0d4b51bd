// JSON text to values and back, with limits on depth and length.
// Follows RFC 8259; hostile text ends in an error that says where.
// Nothing that knows what the values mean may enter.
