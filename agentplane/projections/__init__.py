"""Read models: facts in, views out. Pure; agentplane.store.views keeps them, with the position they were folded to."""
