"""The bus: NATS as transport. It may lose anything; the store heals it."""
