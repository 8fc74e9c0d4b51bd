// A model that is opened: its budget divided, its weights, pages and pass, its prompts.
// Decides from knobs and knowledge; sizing and opening agree.
// No session, no queue and no client may enter.
