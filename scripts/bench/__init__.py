"""Benchmarks: ours, a peer and a limit, interleaved in one run."""
