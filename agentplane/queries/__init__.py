"""Questions and answers about the read models, over the bus. Read-only, and one tenant at a time."""
