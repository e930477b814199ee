"""The store: the log on PostgreSQL, and its outbox. Events enter by one writer per process and are never changed."""
