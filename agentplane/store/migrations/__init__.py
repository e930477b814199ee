"""SQL files, run once each and in order by agentplane.store.migrate. A published one is never edited."""
