// The forward pass: blocks that compute, sampling, drafting, KV pages.
// One pass for every family; families only describe.
// No file and no session may enter.
