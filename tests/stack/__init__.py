"""The real stack, started as people start it, and hurt."""
