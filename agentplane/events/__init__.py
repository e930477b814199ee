"""Events: what happened, append-only, ordered by sequence. The envelope; payloads live beside their noun."""
