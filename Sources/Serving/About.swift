// The engine thread: orders, fair turns, sessions, step after step.
// Nothing else touches weights, KV pages or the ring.
// No HTTP and no system service may enter.
