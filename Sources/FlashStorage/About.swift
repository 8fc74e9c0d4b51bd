// Reading from flash: queued reads in pieces, verified, and what is known of the drive.
// Deals in requests and completions; one owner of the reads in flight.
// Nothing that decides what is read, or when, may enter.
