"""Controllers: state, input, now -> Decision. Pure and deterministic: no clock, no I/O, no randomness."""
