// The machine: files, memory, threads, queues of reads, clocks, and how programs end.
// Every unsafe call into the kernel is behind one of its types; errors say call and subject.
// Nothing that knows of models, HTTP or a budget may enter.
