"""Import: foreign JSONL becomes events of one tenant. Lines in, intents out; pure. docs/events.md has the rules."""
