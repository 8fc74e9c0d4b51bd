// Flash: queued reads and writes in pieces, verified, and what is known of the drive.
// Deals in requests, opaque tickets and completions; one owner of what is in flight.
// Nothing that decides what is read, or when, or knows what it means, may enter.
